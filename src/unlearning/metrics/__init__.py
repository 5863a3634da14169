"""Metrics: one file each, pure functions of features, predictions and labels."""
