"""Erase whole classes from an image classifier and measure how deep the erasure goes."""
