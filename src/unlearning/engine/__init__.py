"""The one training loop: launch, precision, optimisers, resume, progress, curves."""
