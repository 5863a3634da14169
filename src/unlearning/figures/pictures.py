"""The pictures themselves, for figures: some test images as arrays."""

from pathlib import Path

import numpy as np

from unlearning.data.manifest import SPLIT_FOLDER, Manifest


def test_pictures(manifest: Manifest, positions: list[int]) -> list[np.ndarray]:
    """Return test images as uint8 (H, W, 3), from the split's pixels or, at the model's size, from the files."""
    if manifest.root is None:
        pixels = np.load(SPLIT_FOLDER / "test.npy", mmap_mode="r")
        return [_coloured(np.array(pixels[position])) for position in positions]
    from unlearning.data.images import fit, read_image  # here: importing torchvision takes seconds

    paths = [Path(manifest.root) / manifest.splits["test"].ids[position] for position in positions]
    return [_coloured(fit(read_image(path), manifest.image_size).numpy()) for path in paths]


def _coloured(image: np.ndarray) -> np.ndarray:
    """Return (C, H, W) of one or three channels as (H, W, 3)."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
