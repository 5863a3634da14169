import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import NO_AUGMENT, SIZE
from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.data.surrogate import SURROGATE, surrogate_manifest
from unlearning.engine.schedule import BatchSchedule
from unlearning.errors import InputError

CPU = torch.device("cpu")
COLOURS = {"a.png": (200, 100, 50), "deep/b.png": (0, 0, 255), "deep/deeper/c.PNG": (255, 0, 0), "z.webp": (9, 9, 9)}
LUMA = (0.299, 0.587, 0.114)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write images of one colour each, of different sizes, into nested folders, the last first."""
    root = tmp_path / "other"
    for number, (name, colour) in enumerate(reversed(COLOURS.items())):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE + 3 * number, SIZE + 13 - 5 * number), colour).save(root / name, lossless=True)
    return root


@pytest.fixture
def colour_world(world: Manifest) -> Manifest:
    return replace(world, channels=3, image_size=SIZE + 2, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])


def images_of(manifest: Manifest) -> torch.Tensor:
    split = ImageSplit(manifest, SURROGATE, CPU)
    return torch.cat([batch.images for batch in split.batches(in_order(manifest.select(SURROGATE), 3))])


def test_a_missing_folder_is_named_with_the_key(world: Manifest, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(InputError, match=rf"^scar\.surrogate: there is no folder {re.escape(str(missing))};"):
        surrogate_manifest(missing, "scar.surrogate", world)


def test_a_folder_without_images_is_named_with_the_key(world: Manifest, tmp_path: Path) -> None:
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "deep" / "notes.txt").write_text("soon")
    with pytest.raises(InputError, match=rf"^scar\.surrogate: no image \(.*\.png.*\) below {tmp_path / 'other'};"):
        surrogate_manifest(tmp_path / "other", "scar.surrogate", world)


def test_images_are_found_in_all_folders_in_sorted_order(world: Manifest, folder: Path) -> None:
    (folder / "deep" / "notes.txt").write_text("no image")
    (folder / "._a.png").write_bytes(b"left by another system")
    (folder / "folder.png").mkdir()
    manifest = surrogate_manifest(folder, "scar.surrogate", world)
    assert list(manifest.splits) == [SURROGATE]
    assert manifest.splits[SURROGATE].ids == list(COLOURS)
    assert manifest.root == str(folder)


def test_images_belong_to_no_class(world: Manifest, folder: Path) -> None:
    manifest = surrogate_manifest(folder, "scar.surrogate", world)
    assert not set(manifest.splits[SURROGATE].labels.tolist()) & set(range(len(world.classes)))
    assert manifest.select(SURROGATE, "forget").tolist() == []


def test_batches_are_grey_and_scaled_like_the_data_for_a_model_of_grey_images(world: Manifest, folder: Path) -> None:
    images = images_of(surrogate_manifest(folder, "scar.surrogate", world))
    assert images.shape == (len(COLOURS), 1, SIZE, SIZE)
    for image, colour in zip(images, COLOURS.values(), strict=True):
        expected = (np.dot(LUMA, colour) / 255 - 0.3) / 0.3
        np.testing.assert_allclose(image.numpy(), expected, atol=1.1 / 255 / 0.3)


def test_batches_have_colour_and_the_datas_scale_for_a_model_of_colour_images(
    colour_world: Manifest, folder: Path
) -> None:
    images = images_of(surrogate_manifest(folder, "scar.surrogate", colour_world))
    assert images.shape == (len(COLOURS), 3, SIZE + 2, SIZE + 2)
    for image, colour in zip(images, COLOURS.values(), strict=True):
        expected = (np.array(colour) / 255 - colour_world.mean) / colour_world.std
        np.testing.assert_allclose(image.numpy(), np.broadcast_to(expected[:, None, None], image.shape), atol=1e-5)


def test_grey_files_have_three_channels_for_a_model_of_colour_images(
    colour_world: Manifest, tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    write_image(tmp_path / "grey" / "a.png", (20, 11), grey=True)
    [image] = images_of(surrogate_manifest(tmp_path / "grey", "scar.surrogate", colour_world))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (colour_world.mean, colour_world.std))
    pixels = image * std + mean
    torch.testing.assert_close(pixels[0], pixels[1])
    torch.testing.assert_close(pixels[0], pixels[2])
    assert pixels.std() > 0.05


@pytest.mark.parametrize("channels", ["world", "colour_world"])
def test_an_image_of_the_models_size_is_not_resampled(
    request: pytest.FixtureRequest, tmp_path: Path, write_image: Callable[..., Path], channels: str
) -> None:
    world = request.getfixturevalue(channels)
    path = write_image(tmp_path / "same" / "a.png", (world.image_size, world.image_size))
    [image] = images_of(surrogate_manifest(path.parent, "scar.surrogate", world))
    pixels = np.asarray(Image.open(path)) / 255
    pixels = pixels @ np.reshape(LUMA, (3, 1)) if world.channels == 1 else pixels
    expected = ((pixels - world.mean) / world.std).transpose(2, 0, 1)
    np.testing.assert_allclose(image.numpy(), expected, atol=1.1 / 255 / min(world.std))


def test_a_schedule_yields_batches_over_all_images(
    world: Manifest, tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    for number in range(9):
        write_image(tmp_path / "other" / f"{number % 2}" / f"{number}.png", (SIZE + number, SIZE), number)
    manifest = surrogate_manifest(tmp_path / "other", "scar.surrogate", world)
    schedule = BatchSchedule(manifest, ImageSplit(manifest, SURROGATE, CPU), 0, "scar", split=SURROGATE)
    assert schedule.steps("all", 3) == 3
    batches = list(schedule.stream("all", 3, NO_AUGMENT, 0, 6))
    everything = images_of(manifest)
    passes = [torch.cat([batch.positions for batch in batches[start : start + 3]]) for start in (0, 3)]
    assert [sorted(positions.tolist()) for positions in passes] == [list(range(9))] * 2
    assert not torch.equal(*passes)
    for batch in batches:
        assert torch.equal(batch.images, everything[batch.positions])


def test_fewer_images_than_a_batch_are_one_batch_and_named_as_surrogates(
    world: Manifest, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = surrogate_manifest(folder, "scar.surrogate", world)
    schedule = BatchSchedule(manifest, ImageSplit(manifest, SURROGATE, CPU), 0, "scar", split=SURROGATE)
    [batch] = schedule.stream("all", 64, NO_AUGMENT, 0, 1)
    assert sorted(batch.positions.tolist()) == [0, 1, 2, 3]
    assert "scar: batch_size 64, but there are 4 surrogate images; using all" in capsys.readouterr().err
