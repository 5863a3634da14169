"""Images in, batches out: sources, the manifest of the split, augmentation, loaders."""
