"""What one model tells by itself, a file a metric: computed once a model, by the stage evaluate."""
