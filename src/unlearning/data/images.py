"""Reading one image file, and bringing images of any size to the model's."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from unlearning.errors import InputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff")
BROKEN = (OSError, SyntaxError, ValueError)  # what Pillow raises for a broken file depends on the format


def read_image(path: Path) -> Tensor:
    """Return an image file as uint8 (3, H, W), upright; grey images get three equal channels.

    Of several frames or pages it is the first. Raises one of BROKEN when the file is missing or broken, or when the
    range of its values is not known.
    """
    with Image.open(path) as file:
        if not range_is_known(file):
            raise ValueError(f"{path} does not say which value is white")
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16-bit grey: Pillow's convert would clip it instead of scaling
            image = Image.fromarray((np.asarray(image, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8))
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def range_is_known(file: Image.Image) -> bool:
    """Tell whether an opened file says which value is white: floating-point numbers and TIFF's 32-bit ones do not."""
    return file.mode != "F" and (file.mode, file.format) != ("I", "TIFF")


def image_files(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted; hidden ones, and those in hidden folders, are left out."""
    return [path for path in visible_files(folder) if is_image(path)]


def visible_files(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted; hidden ones, and those in hidden folders, are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file()
    )


def is_image(path: Path) -> bool:
    """Tell by the suffix whether a file is one that `read_image` reads."""
    return path.suffix.lower() in EXTENSIONS


def fit(image: Tensor, size: int) -> Tensor:
    """Return uint8 (..., C, size, size): shorter side scaled to `size` (antialiased), then the centre."""
    if image.shape[-2:] == (size, size):
        return image
    return _centre(_resized(image, [size]), size)


def evaluation_view(image: Tensor, size: int, resize: list[int]) -> Tensor:
    """Return uint8 (..., C, size, size) as evaluation sees it: the centre of `stored`, or `fit` without `resize`."""
    return _centre(stored(image, size, resize), size) if resize else fit(image, size)


def stored(image: Tensor, size: int, resize: list[int]) -> Tensor:
    """Return uint8 (..., C, H, W) from which both the evaluation view and a training image can be made.

    resize: px, the size before the crop: [] for `size` itself, [shorter side], or [height, width], which stretches.
    """
    if len(resize) == 2:
        return _resized(image, resize)
    return fit(image, resize[0] if resize else size)


def _resized(image: Tensor, size: list[int]) -> Tensor:
    from torchvision.transforms.v2 import functional as transforms  # here: it takes as long to import as torch

    resized: Tensor = transforms.resize(image, size, antialias=True)
    return resized


def _centre(image: Tensor, size: int) -> Tensor:
    from torchvision.transforms.v2 import functional as transforms

    cut: Tensor = transforms.center_crop(image, [size, size])
    return cut


def read_all(paths: list[Path], size: int, resize: list[int] | None = None) -> Tensor:
    """Return all images as uint8 (N, 3, H, W), as `stored` makes them; resize: None = [].

    Raises InputError with the first unreadable file and how many more there are.
    """
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda path: _read_or_none(path, size, resize or []), paths))
    broken = [path for path, image in zip(paths, images, strict=True) if image is None]
    refuse_broken(broken)
    return torch.stack([image for image in images if image is not None])


def refuse_broken(paths: list[Path]) -> None:
    """Raise InputError with the first of these files and how many more there are, if there is one."""
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        raise InputError(f"cannot read the image {paths[0]}{more}; repair or remove it")


def _read_or_none(path: Path, size: int, resize: list[int]) -> Tensor | None:
    try:
        return stored(read_image(path), size, resize)
    except BROKEN:
        return None
