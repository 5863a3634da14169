"""Programs that train rather than unlearn: the classifiers and the EC modules."""
