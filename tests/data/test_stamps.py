"""A streamed image that is another than when the split was made is noticed: by the split, and by who reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearning.data.batches import ImageSplit, in_order, read_files
from unlearning.data.file_stamps import By
from unlearning.data.manifest import SPLIT_FOLDER, Manifest, load_manifest, save_manifest
from unlearning.data.stamps import content_of, load_stamps, save_stamps, stamp_files
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import image_folder
from unlearning.splitting.images import Prepared, prepare

BOTH = pytest.mark.parametrize("by", ["times", "content"])
Make = Callable[[By], Prepared]


@pytest.fixture
def make(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image_tree: Callable[..., Path],
    make_data: Callable[..., Data],
    make_forget: Callable[..., Forget],
) -> Make:
    """Return a function that splits and writes a streamed set."""
    monkeypatch.chdir(tmp_path)
    image_tree(Path("images/train"), cat=6, dog=6)
    image_tree(Path("images/test"), cat=2, dog=2)
    data = make_data(name="image_folder", root="images", resident_gb=0.0, mean=[0.5] * 3, std=[0.5] * 3)

    def split(by: By) -> Prepared:
        prepared = prepare(image_folder.load(data), data, make_forget(scenario="classes", classes=["cat"]), by=by)
        for name, stamps in prepared.stamps.items():
            save_stamps(name, stamps)
        save_manifest(prepared.manifest)
        return prepared

    return split


def read_all_of(manifest: Manifest, split: str, workers: int = 0) -> torch.Tensor:
    images = ImageSplit(manifest, split, torch.device("cpu"), workers=workers)
    return torch.cat([batch.images for batch in images.batches(in_order(np.arange(len(images.labels)), 4))])


@BOTH
def test_untouched_files_are_read_by_every_view_of_the_split(make: Make, by: By) -> None:
    make(by)
    whole = load_manifest()
    assert whole.told_by == by
    for manifest in (
        whole,
        whole.without([0]),
        whole.without([1]),
        whole.judged_on("validation"),
        whole.without_validation(),
    ):
        for split in manifest.splits:
            if manifest.splits[split].ids:
                read_all_of(manifest, split)
    assert torch.equal(read_all_of(whole.without([0]), "test"), read_all_of(whole, "test")[2:])


@pytest.mark.parametrize("keep_time", [False, True])
@BOTH
@pytest.mark.parametrize("workers", [0, 2])
def test_other_pixels_of_the_same_size_are_noticed(
    make: Make, write_image: Callable[..., Path], by: By, keep_time: bool, workers: int
) -> None:
    seen = by == "content" or not keep_time  # what has its size and time of change is the same by these
    before = make(by).manifest
    name = before.splits["train"].ids[0]
    write_image(Path("images") / name, (8, 8), seed=1)
    before = make(by).manifest
    stat = (Path("images") / name).stat()
    write_image(Path("images") / name, (8, 8), seed=2)
    assert (Path("images") / name).stat().st_size == stat.st_size  # noise does not pack
    os.utime(Path("images") / name, ns=(stat.st_atime_ns, stat.st_mtime_ns + (not keep_time)))
    if seen:
        with pytest.raises(InputError) as caught:
            read_all_of(load_manifest(), "train", workers)
        what = {"content": "content", "times": "size or time of change"}[by]
        assert str(caught.value) == (
            f"the image images/{name} is not the one that the split was made of (it has another {what}); "
            "put that back, or run `dvc repro` (without `inputs: kept`)"
        )
        with pytest.raises(InputError, match="not the one that the split was made of"):
            read_files(load_manifest(), "train", [0])
    else:
        read_all_of(load_manifest(), "train", workers)
    assert (make(by).manifest.content != before.content) == seen


@BOTH
def test_two_images_that_change_places_are_another_set(make: Make, by: By) -> None:
    before = make(by).manifest
    cat, dog = Path("images/train/cat/00.png"), Path("images/train/dog/00.png")
    cat.rename("aside.png")
    dog.rename(cat)
    Path("aside.png").rename(dog)
    after = make(by).manifest
    assert after.content != before.content
    assert after.hash != before.hash


def test_a_touched_file_is_the_same_by_its_content(make: Make) -> None:
    before = make("content").manifest
    for path in Path("images").rglob("*.png"):
        os.utime(path, ns=(1, 1))
    read_all_of(load_manifest(), "train")
    assert make("content").manifest.content == before.content


@pytest.mark.parametrize("damage", ["gone", "short", "ragged"])
def test_stamps_that_do_not_fit_are_refused(make: Make, damage: str) -> None:
    make("times")
    path = SPLIT_FOLDER / "train.stamps"
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-16] if damage == "short" else content[:-1])
    with pytest.raises(InputError, match=f"{path}.*run `dvc repro"):
        load_stamps(load_manifest(), "train")


def test_stamps_are_those_of_one_file_after_the_other(tmp_path: Path, image_tree: Callable[..., Path]) -> None:
    paths = sorted(image_tree(tmp_path, cat=6, dog=6).rglob("*.png"))
    for by in ("times", "content"):
        whole = stamp_files(paths, by)
        assert whole.shape == (len(paths), 16)
        assert np.array_equal(whole, np.concatenate([stamp_files([path], by) for path in paths]))
        assert len(np.unique(whole, axis=0)) == len(paths)
    assert stamp_files([], "content").shape == (0, 16)


def test_the_hash_of_a_set_depends_on_names_splits_stamps_and_their_kind() -> None:
    stamps = np.arange(32, dtype=np.uint8).reshape(2, 16)
    base = {"train": ["a", "b"], "test": []}
    none = stamps[:0]
    hashes = {
        content_of(base, {"train": stamps, "test": none}, "times"),
        content_of(base, {"train": stamps, "test": none}, "content"),
        content_of(base, {"train": stamps[::-1].copy(), "test": none}, "times"),
        content_of({"train": ["b", "a"], "test": []}, {"train": stamps, "test": none}, "times"),
        content_of({"train": [], "test": ["a", "b"]}, {"train": none, "test": stamps}, "times"),
        content_of({"train": ["a"], "test": ["b"]}, {"train": stamps[:1], "test": stamps[1:]}, "times"),
    }
    assert len(hashes) == 6
