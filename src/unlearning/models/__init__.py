"""Classifiers by timm, the points where their features are read, EC modules, and checkpoints."""
