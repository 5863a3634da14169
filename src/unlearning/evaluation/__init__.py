"""What is looked at: one forward pass over a split, and the tail of a network after one layer."""
