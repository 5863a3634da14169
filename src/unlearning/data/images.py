"""Images of any size brought to the model's, one or all of a set."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from unlearning.data.image_files import refuse_broken
from unlearning.data.picture import Reduction
from unlearning.data.reading import NO_RULES, BadImage, Rules, read_image

LONGEST = 32  # times the shorter side: of a longer image only so much of the middle is scaled, and the centre cut out


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


def reduction_for(size: int, resize: list[int]) -> Reduction:
    """Return by what an image may be made smaller while it is decoded, so that `stored` still only scales it down."""
    wanted = resize or [size]

    def reduction(height: int, width: int) -> int:
        if len(wanted) == 2:
            return min(height // wanted[0], width // wanted[1])
        return min(height, width) // wanted[0]

    return reduction


def _resized(image: Tensor, size: list[int]) -> Tensor:
    from torchvision.transforms.v2 import functional as transforms  # here: it takes as long to import as torch

    resized: Tensor = transforms.resize(_without_ends(image) if len(size) == 1 else image, size, antialias=True)
    return resized


def _without_ends(image: Tensor) -> Tensor:
    """Return the middle of an image of one by ten thousand pixels, which scaled up would fill the memory."""
    height, width = image.shape[-2:]
    most = LONGEST * min(height, width)
    return image if max(height, width) <= most else _cut_out(image, min(height, most), min(width, most))


def _centre(image: Tensor, size: int) -> Tensor:
    return _cut_out(image, size, size)


def _cut_out(image: Tensor, height: int, width: int) -> Tensor:
    from torchvision.transforms.v2 import functional as transforms

    cut: Tensor = transforms.center_crop(image, [height, width])
    return cut


def read_all(paths: Sequence[Path], size: int, resize: list[int] | None = None, rules: Rules = NO_RULES) -> Tensor:
    """Return all images as uint8 (N, 3, H, W), as `stored` makes them; resize: None = [].

    Raises InputError with the first unreadable file, why it is, and how many more there are.
    """
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda path: _read_or_reason(path, size, resize or [], rules), paths))
    refuse_broken([(path, one) for path, one in zip(paths, images, strict=True) if isinstance(one, str)])
    return torch.stack([image for image in images if not isinstance(image, str)])


def _read_or_reason(path: Path, size: int, resize: list[int], rules: Rules) -> Tensor | str:
    try:
        return stored(read_image(path, rules, reduction=reduction_for(size, resize)), size, resize)
    except BadImage as error:
        return str(error)
