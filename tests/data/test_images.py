from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlearning.data.images import evaluation_view, fit, read_all, stored
from unlearning.data.reading import BadImage, Rules, read_image
from unlearning.errors import InputError

WriteImage = Callable[..., Path]
FULL_RANGE = Rules((0, 65535))
COLOURS = np.array([[[250, 10, 20], [0, 200, 100]], [[30, 30, 240], [128, 128, 128]]], dtype=np.uint8)


def test_colour_keeps_its_channels_and_orientation(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png")
    assert image.dtype == torch.uint8
    assert image.permute(1, 2, 0).tolist() == COLOURS.tolist()


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[:, :, 0]).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").tolist() == [COLOURS[:, :, 0].tolist()] * 3


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", FULL_RANGE).tolist() == [[[0, 1, 1], [1, 128, 255]]] * 3


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA"])
def test_every_mode_of_png_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    Image.fromarray(COLOURS).convert(mode).save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as file:
        assert file.mode == mode
        expected = np.array(file.convert("RGB"))
    assert read_image(tmp_path / "x.png").permute(1, 2, 0).tolist() == expected.tolist()


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif", "tiff"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(COLOURS).save(tmp_path / f"x.{suffix}")
    assert read_image(tmp_path / f"x.{suffix}").permute(1, 2, 0).tolist() == COLOURS.tolist()


@pytest.mark.parametrize("suffix", ["pgm", "tif"])
def test_sixteen_bits_are_scaled_in_every_format_that_has_them(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 256, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"x.{suffix}")
    assert read_image(tmp_path / f"x.{suffix}", FULL_RANGE).tolist() == [[[0, 1, 255]]] * 3


@pytest.mark.parametrize("suffix", ["gif", "tif"])
def test_the_first_of_several_frames_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 250, 0)))
    first.save(tmp_path / f"x.{suffix}", save_all=True, append_images=[second])
    assert read_image(tmp_path / f"x.{suffix}")[:, 2, 3].tolist() == [250, 0, 0]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_unknown_range_are_not_guessed(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4), 200).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"cannot read the image .*x\.tif"):
        read_all([tmp_path / "x.tif"], 8)


@pytest.mark.parametrize("name", ["x.jpg", "x.jpeg", "x.JPG", "x.webp"])
def test_lossy_formats_are_read(tmp_path: Path, name: str) -> None:
    blocks = COLOURS.repeat(16, axis=0).repeat(16, axis=1)
    Image.fromarray(blocks).save(tmp_path / name, quality=95)
    difference = read_image(tmp_path / name).permute(1, 2, 0).numpy().astype(int) - blocks
    assert difference.shape == (32, 32, 3)
    assert np.abs(difference).mean() < 5


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp"])
def test_a_photograph_taken_sideways_is_turned_upright(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[:, :16] = 255
    Image.fromarray(pixels).save(tmp_path / f"x.{suffix}", exif=exif)
    image = read_image(tmp_path / f"x.{suffix}")
    assert image.shape == (3, 32, 16)
    assert image[:, 2:14].min() > 240
    assert image[:, 18:30].max() < 15


@pytest.mark.parametrize("shape", [(8, 8), (8, 24), (31, 9), (100, 64), (1, 1), (3, 200), (1, 60_000), (60_000, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_fit(shape: tuple[int, int], channels: int) -> None:
    image = torch.full((channels, *shape), 77, dtype=torch.uint8)
    assert torch.equal(fit(image, 8), torch.full((channels, 8, 8), 77, dtype=torch.uint8))


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    assert torch.equal(fit(image, 8), image)


@pytest.mark.parametrize("wide", [True, False])
def test_the_centre_of_the_longer_side_is_kept(wide: bool) -> None:
    image = torch.zeros(1, 16, 48, dtype=torch.uint8)
    image[..., 16:32] = 200
    fitted = fit(image if wide else image.transpose(1, 2), 8)
    assert fitted.shape == (1, 8, 8)
    assert fitted[0, 2:6, 2:6].eq(200).all()
    assert fitted.float().mean() > 180


def plain_resize(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Pillow's antialiased bilinear scaling, another implementation."""
    scaled = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(scaled)).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("resize", "scaled_to"), [([12], (12, 18)), ([12, 12], (12, 12)), ([16, 10], (16, 10)), ([8], (8, 12))]
)
def test_evaluation_scales_first_and_then_cuts_the_centre_out(resize: list[int], scaled_to: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    height, width = scaled_to
    top, left = (height - 8) // 2, (width - 8) // 2
    expected = plain_resize(image, height, width)[:, top : top + 8, left : left + 8]
    view = evaluation_view(image, 8, resize)
    assert view.shape == (3, 8, 8)
    assert (view.int() - expected.int()).abs().max() <= 1


def test_evaluation_without_a_size_before_the_crop_is_fit() -> None:
    image = torch.randint(0, 256, (3, 20, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(evaluation_view(image, 8, []), fit(image, 8))


@pytest.mark.parametrize("resize", [[], [12], [12, 12], [16, 10]])
def test_what_is_stored_gives_the_same_evaluation_view(resize: list[int]) -> None:
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(evaluation_view(stored(image, 8, resize), 8, resize), evaluation_view(image, 8, resize))


def test_the_middle_of_a_very_long_image_is_kept_and_little_memory_used(
    write_image: WriteImage, tmp_path: Path
) -> None:
    image = torch.zeros(3, 1, 2_000_000, dtype=torch.uint8)  # scaled whole to 224 px it would have 300 GB
    image[..., 999_990:1_000_010] = 200
    fitted = fit(image, 224)
    assert fitted.shape == (3, 224, 224)
    assert fitted.eq(200).all()
    long = write_image(tmp_path / "long.png", (5000, 1))
    assert read_all([long], 8, [12]).shape == (1, 3, 12, 12)


def test_scaling_down_does_not_alias() -> None:
    checkerboard = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255).to(torch.uint8)[None]
    fitted = fit(checkerboard, 8)
    assert fitted.min() > 110
    assert fitted.max() < 145


def test_reading_all_keeps_the_order(tmp_path: Path, write_image: WriteImage) -> None:
    paths = [write_image(tmp_path / f"{i}.png", (8 + i, 9), seed=i, grey=i % 2 == 0) for i in range(6)]
    images = read_all(paths[::-1], 8)
    assert images.shape == (6, 3, 8, 8)
    assert images.dtype == torch.uint8
    for image, path in zip(images, paths[::-1], strict=True):
        assert torch.equal(image, fit(read_image(path), 8))


def test_one_unreadable_image_is_named(tmp_path: Path, write_image: WriteImage, unreadable: bytes) -> None:
    paths = [write_image(tmp_path / f"{i}.png") for i in range(3)]
    paths[1].write_bytes(unreadable)
    with pytest.raises(BadImage) as alone:
        read_image(paths[1])
    with pytest.raises(InputError) as caught:
        read_all(paths, 8)
    reason = str(alone.value)
    assert str(caught.value) == f"cannot read the image {paths[1]} ({reason}); repair or remove it"


@pytest.mark.parametrize("broken", [[0, 1], [2, 3, 5], [0, 1, 2, 3, 4, 5]])
def test_the_first_of_several_unreadable_images_is_named_with_how_many_more(
    tmp_path: Path, write_image: WriteImage, broken: list[int]
) -> None:
    paths = [write_image(tmp_path / f"{i}.png") for i in range(6)]
    for number in broken:
        paths[number].write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read_all(paths, 8)
    assert str(caught.value).startswith(f"cannot read the image {paths[broken[0]]} (")
    assert str(caught.value).endswith(f") and {len(broken) - 1} more; repair or remove it")


def test_a_file_that_vanished_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    with pytest.raises(InputError, match=r"cannot read the image .*gone\.png \(No such file or directory\);"):
        read_all([write_image(tmp_path / "a.png"), tmp_path / "gone.png"], 8)
