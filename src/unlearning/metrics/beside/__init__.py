"""What a model tells beside the original or the retrained one, a file a metric: computed again by every compare."""
