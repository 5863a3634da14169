"""Losses that more than one method uses: pure functions of tensors."""
