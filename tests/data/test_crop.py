"""What is decoded of a large JPEG, and that it shows the same part of the picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from unlearning.data.augment import ASPECT
from unlearning.data.crop import Crop
from unlearning.data.images import reduction_for, stored
from unlearning.data.reading import read_image

HEIGHT, WIDTH = 241, 323  # px: no multiple of eight
ORIENTATION = 0x0112


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a smooth picture, in which each place has a colour of its own."""

    def write(orientation: int = 1, suffix: str = ".jpg") -> Path:
        down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
        colours = [255 * down / HEIGHT, 255 * across / WIDTH, 128 + 100 * np.sin(down / 40) * np.cos(across / 30)]
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        path = tmp_path / f"{orientation}{suffix}"
        Image.fromarray(np.stack(colours, axis=-1).astype(np.uint8)).save(path, exif=exif, quality=95)
        return path

    return write


def difference(one: Tensor, other: Tensor) -> float:
    """Return the mean difference of two pictures, in levels of grey."""
    return (one.float() - other.float()).abs().mean().item()


@pytest.mark.parametrize("seed", range(5))
def test_of_a_whole_image_it_is_torchvisions_crop_to_the_bit(photo: Callable[..., Path], seed: int) -> None:
    image = read_image(photo())
    torch.manual_seed(seed)
    expected = v2.RandomResizedCrop(20, scale=(0.3, 1.0), ratio=ASPECT, antialias=True)(image)
    before = torch.random.get_rng_state()
    assert torch.equal(Crop(seed, 0.3, 20).of(image), expected)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("seed", range(5))
def test_of_an_image_decoded_smaller_it_shows_the_same_part(
    photo: Callable[..., Path], orientation: int, seed: int
) -> None:
    path, small, whole = photo(orientation), Crop(seed, 0.3, 40), Crop(seed, 0.3, 40)
    image = read_image(path, reduction=small.reduction)
    factor = round((HEIGHT * WIDTH / image[0].numel()) ** 0.5)
    assert factor in (2, 4)
    off = factor / 2  # px by which an edge is rounded, and about as many levels of grey
    assert difference(small.of(image), whole.of(read_image(path))) < off + 1
    others = [difference(small.of(image), Crop(seed + n, 0.3, 40).of(read_image(path))) for n in range(1, 20)]
    assert np.median(others) > 5 * (off + 1)


@pytest.mark.parametrize(
    ("size", "resize", "shape"),
    [
        (241, [], (241, 323)),
        (121, [], (241, 323)),  # half of 241 is 120: less than what is asked for
        (120, [], (121, 162)),
        (60, [], (61, 81)),
        (31, [], (61, 81)),
        (30, [], (31, 41)),
        (8, [], (31, 41)),  # no JPEG is decoded at less than an eighth
        (40, [60], (61, 81)),
        (40, [60, 162], (241, 323)),
        (40, [60, 161], (121, 162)),
        (40, [60, 80], (61, 81)),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_size_that_need_not_be_enlarged(
    photo: Callable[..., Path], size: int, resize: list[int], shape: tuple[int, int]
) -> None:
    image = read_image(photo(), reduction=reduction_for(size, resize))
    assert tuple(image.shape[-2:]) == shape
    off = (
        1 + WIDTH / shape[1] / 2
    )  # levels of grey: an eighth of 241 px is 31 px, of which the last is but in part there
    assert difference(stored(image, size, resize), stored(read_image(photo()), size, resize)) < off


def test_an_image_on_its_side_is_measured_upright(photo: Callable[..., Path]) -> None:
    path = photo(orientation=6)
    assert read_image(path).shape == (3, WIDTH, HEIGHT)
    assert read_image(path, reduction=reduction_for(8, [160, 120])).shape == (3, 162, 121)
    assert read_image(path, reduction=reduction_for(8, [120, 160])).shape == (3, WIDTH, HEIGHT)


def test_other_formats_are_decoded_whole(photo: Callable[..., Path]) -> None:
    path = photo(suffix=".png")
    assert torch.equal(read_image(path, reduction=reduction_for(8, [])), read_image(path))
