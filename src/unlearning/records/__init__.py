"""What stages write about one model, a sealed record a seed: which model of which samples it is, and the numbers."""
