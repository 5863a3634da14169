"""The pictures themselves, for figures: some test images as arrays."""

import numpy as np

from unlearning.data.manifest import SPLIT_FOLDER, Manifest

DRAWINGS = ("digits",)  # sources whose images are no photos, but drawings that anyone may see
NO_PICTURE = np.full((1, 1, 3), 225, dtype=np.uint8)  # a grey square


def may_be_shown(source: str, photos: bool) -> bool:
    """Return whether test images may stand in figures and pages: drawings always, photos (figures.photos) if asked."""
    return photos or source in DRAWINGS


def pictures_or_none(manifest: Manifest, positions: list[int], photos: bool) -> list[np.ndarray]:
    """Return test images as `test_pictures` does, or grey squares where they are photos and none may be shown."""
    if may_be_shown(manifest.source, photos):
        return test_pictures(manifest, positions)
    return [NO_PICTURE] * len(positions)


def test_pictures(manifest: Manifest, positions: list[int]) -> list[np.ndarray]:
    """Return test images as uint8 (H, W, 3), from the split's pixels or, at the model's size, from the files."""
    if manifest.root is None:
        test = manifest.splits["test"]
        pixels = np.load(SPLIT_FOLDER / f"{test.pixels_of or 'test'}.npy", mmap_mode="r")
        places = positions if test.rows is None else test.rows[positions]
        return [_coloured(np.array(pixels[place])) for place in places]
    from unlearning.data.batches import read_files  # here: importing torchvision takes seconds

    return [_coloured(image.numpy()) for image in read_files(manifest, "test", positions)]


def _coloured(image: np.ndarray) -> np.ndarray:
    """Return (C, H, W) of one or three channels as (H, W, 3)."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
