"""Metrics: a file each, pure functions of features, predictions and labels; of one model alone, and beside others."""
