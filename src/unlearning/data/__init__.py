"""What every stage reads of the split on disk: manifest, pixels, batches, augmentation."""
