"""Images of more than 8 bits: one range of values for all of a set, wherever they are read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlearning.data.batches import ImageSplit, in_order, save_pixels
from unlearning.data.manifest import Manifest, load_manifest, save_manifest
from unlearning.data.reading import Rules
from unlearning.data.stamps import save_stamps
from unlearning.data.surrogate import SURROGATE, surrogate_manifest
from unlearning.data.value_range import survey
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import image_folder
from unlearning.splitting.images import Prepared, prepare

MakeData = Callable[..., Data]
MakeForget = Callable[..., Forget]
SIZE = 8


def deep_image(path: Path, low: int, high: int, kind: type = np.uint16) -> Path:
    """Write an image whose upper half is low, and whose lower half is high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.repeat([[low], [high]], SIZE // 2, axis=0).repeat(SIZE, axis=1)
    Image.fromarray(values.astype(kind)).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a set of 12 bits, of which the test image alone is white, and go where it is."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        for number in range(4):
            deep_image(Path("images/train") / name / f"{number}.png", 0, 1000 * number)
        deep_image(Path("images/test") / name / "0.png", 5, 4000)
    return Path("images")


def written(root: Path, make_data: MakeData, make_forget: MakeForget, **changes: object) -> Prepared:
    data = make_data(name="image_folder", root=str(root), **changes)
    prepared = prepare(image_folder.load(data), data, make_forget())
    for name, pixels in prepared.pixels.items():
        save_pixels(name, pixels)
    for name, stamps in prepared.stamps.items():
        save_stamps(name, stamps)
    save_manifest(prepared.manifest)
    return prepared


def bottoms(manifest: Manifest, split: str) -> dict[str, int]:
    """Return the value of the lower half of each image, by its name, as a stage reads it."""
    images = ImageSplit(manifest, split, torch.device("cpu"))
    [batch] = images.batches(in_order(np.arange(len(manifest.splits[split].ids)), 64))
    values = (255 * (batch.images * images.std + images.mean)).round()[:, 0, -1, 0].int().tolist()
    return dict(zip(manifest.splits[split].ids, values, strict=True))


@pytest.mark.parametrize("gigabytes", [4.0, 0.0])
def test_the_range_is_that_of_all_splits_and_said_once(
    root: Path, make_data: MakeData, make_forget: MakeForget, gigabytes: float
) -> None:
    prepared = written(root, make_data, make_forget, resident_gb=gigabytes, validation_fraction=0.0)
    assert prepared.notes == [
        "10 images of more than 8 bits are scaled from 0 (black) to 4000 (white): the lowest and the highest value in "
        "use; data.value_range sets others"
    ]
    manifest = load_manifest()
    assert manifest.value_range == [0, 4000]
    assert bottoms(manifest, "test") == {"test/cat/0.png": 255, "test/dog/0.png": 255}
    seen = bottoms(manifest, "train")
    assert [seen[f"train/cat/{number}.png"] for number in range(4)] == [0, 64, 128, 191]


def test_a_given_range_is_used_and_what_lies_outside_cut_off(
    root: Path, make_data: MakeData, make_forget: MakeForget
) -> None:
    prepared = written(root, make_data, make_forget, value_range=[1000.0, 2000.0], validation_fraction=0.0)
    assert prepared.notes == [
        "10 images of more than 8 bits are scaled from 1000 (black) to 2000 (white): data.value_range says so"
    ]
    assert [bottoms(load_manifest(), "train")[f"train/cat/{number}.png"] for number in range(4)] == [0, 0, 255, 255]


def test_another_range_is_another_split(root: Path, make_data: MakeData, make_forget: MakeForget) -> None:
    hashes = {
        written(root, make_data, make_forget, resident_gb=gigabytes, value_range=given).manifest.hash
        for gigabytes in (0.0, 4.0)
        for given in (None, [0.0, 3000.0])
    }
    assert len(hashes) == 4


def test_a_set_of_8_bits_has_no_range_and_says_nothing(
    tmp_path: Path, image_tree: Callable[..., Path], make_data: MakeData, make_forget: MakeForget
) -> None:
    root = image_tree(tmp_path / "plain", cat=4, dog=4)
    data = make_data(name="image_folder", root=str(root), value_range=[0.0, 9.0])
    prepared = prepare(image_folder.load(data), data, make_forget())
    assert prepared.notes == []
    assert prepared.manifest.value_range is None


def test_integers_beside_floating_point_numbers_are_refused_unless_a_range_is_given(tmp_path: Path) -> None:
    paths = [deep_image(tmp_path / "a.tif", 0, 1), deep_image(tmp_path / "b.tif", 0, 1, np.float32)]
    with pytest.raises(InputError) as caught:
        survey(paths, Rules(), "data.value_range")
    assert all(str(path) in str(caught.value) for path in paths)
    assert "set data.value_range to what is black and white in both" in str(caught.value)
    assert survey(paths, Rules((0, 1)), "data.value_range").rules.value_range == (0, 1)


def test_all_images_that_hold_no_numbers_are_counted(tmp_path: Path) -> None:
    paths = [deep_image(tmp_path / f"{number}.tif", 0, 1, np.float32) for number in range(4)]
    for path in paths[1:3]:
        Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)).save(path)
    with pytest.raises(InputError, match=rf"{paths[1]} \(.* no numbers, or infinite\) and 1 more; repair or remove it"):
        survey(paths, Rules())


def test_what_can_be_told_from_headers_is_told_before_anything_is_decoded(tmp_path: Path) -> None:
    paths = [deep_image(tmp_path / f"{number}.png", 0, 1) for number in range(3)]
    with pytest.raises(InputError, match=rf"{paths[0]} \(its 8 x 8 px are above the limit of 63 .*\) and 2 more;"):
        survey(paths, Rules(max_pixels=63))


def test_images_that_stand_in_are_scaled_by_their_own_range(
    root: Path, tmp_path: Path, make_data: MakeData, make_forget: MakeForget
) -> None:
    manifest = written(root, make_data, make_forget, resident_gb=0.0).manifest
    deep_image(tmp_path / "other/a.tif", 0, 40)
    deep_image(tmp_path / "other/b.tif", 0, 100)
    own = surrogate_manifest(tmp_path / "other", "scar.surrogate", manifest)
    assert bottoms(own, SURROGATE) == {"a.tif": 102, "b.tif": 255}
    assert bottoms(surrogate_manifest(tmp_path / "other", "scar.surrogate", replace(manifest, root=None)), SURROGATE)


@pytest.mark.parametrize("given", [[1.0, 1.0], [2.0, 1.0], [1.0], [1.0, 2.0, 3.0], [float("nan"), 1.0]])
def test_a_range_is_two_numbers_of_which_the_first_is_the_lower(make_data: MakeData, given: list[float]) -> None:
    with pytest.raises(ValueError, match="value_range"):
        make_data(value_range=given)
