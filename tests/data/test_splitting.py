import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearning.data.batches import ImageSplit, in_order, save_pixels
from unlearning.data.file_stamps import By
from unlearning.data.images import evaluation_view
from unlearning.data.manifest import Manifest, load_manifest, save_manifest
from unlearning.data.reading import read_image
from unlearning.data.stamps import save_stamps
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import Samples, Source, digits, image_folder
from unlearning.splitting.images import normalisation, prepare
from unlearning.splitting.images import split_samples as split_parts

MakeData = Callable[..., Data]
MakeForget = Callable[..., Forget]
ImageTree = Callable[..., Path]
COUNTS = {"cat": 40, "dog": 25, "emu": 7}


def source_of(**counts: int) -> Source:
    """Return a source in memory, in mixed order, whose first pixels tell number and label of the sample."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), list(counts.values())))
    pixels = torch.randint(0, 256, (len(labels), 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(len(labels))
    pixels[:, 0, 0, 1] = torch.from_numpy(labels)
    return Source(list(counts), Samples([f"id{i}" for i in range(len(labels))], labels, pixels), None)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_tree: ImageTree) -> Path:
    """Write twelve training and four test images into the folder `images` of the working directory."""
    monkeypatch.chdir(tmp_path)
    image_tree(Path("images/train"), cat=5, dog=7)
    image_tree(Path("images/test"), cat=2, dog=2)
    return Path("images")


def split_samples(source: Source, data: Data) -> dict[str, Samples]:
    """Return the samples of each split of an original that is trained here: nothing is borrowed."""
    parts = split_parts(source, data)
    assert not any(part.borrowed for part in parts.values())
    return {name: part.samples for name, part in parts.items()}


def counts_of(samples: Samples) -> list[int]:
    return np.bincount(samples.labels, minlength=len(COUNTS)).tolist()


@pytest.mark.parametrize("seed", [0, 1, -7])
@pytest.mark.parametrize("validation", [0.0, 0.1, 0.5])
def test_splits_are_disjoint_and_together_everything(make_data: MakeData, validation: float, seed: int) -> None:
    source = source_of(**COUNTS)
    parts = split_samples(source, make_data(validation_fraction=validation, seed=seed))
    assert list(parts) == ["train", "validation", "test"]
    assert sorted(name for part in parts.values() for name in part.ids) == sorted(source.train.ids)


def test_ids_labels_and_pixels_stay_together(make_data: MakeData) -> None:
    for part in split_samples(source_of(**COUNTS), make_data()).values():
        assert part.ids == [f"id{number}" for number in part.pixels[:, 0, 0, 0].tolist()]
        assert part.labels.tolist() == part.pixels[:, 0, 0, 1].tolist()


def test_each_class_is_split_in_proportion_with_one_at_least(make_data: MakeData) -> None:
    parts = split_samples(source_of(**COUNTS), make_data(test_fraction=0.2, validation_fraction=0.1))
    assert counts_of(parts["test"]) == [8, 5, 1]
    assert counts_of(parts["validation"]) == [3, 2, 1]
    assert counts_of(parts["train"]) == [29, 18, 5]


def test_a_test_split_of_the_source_is_kept_as_it_is(make_data: MakeData) -> None:
    source = replace(source_of(**COUNTS), test=source_of(cat=3, dog=3, emu=3).train)
    parts = split_samples(source, make_data(validation_fraction=0.2))
    assert parts["test"] is source.test
    assert counts_of(parts["validation"]) == [8, 5, 1]
    assert counts_of(parts["train"]) == [32, 20, 6]


def test_of_a_given_model_all_training_images_stay_and_the_other_splits_borrow(make_data: MakeData) -> None:
    source = source_of(**COUNTS)
    parts = split_parts(source, make_data(test_fraction=0.2, validation_fraction=0.1), given=True)
    assert parts["train"].samples is source.train
    assert counts_of(parts["test"].samples) == [8, 5, 1]
    assert counts_of(parts["validation"].samples) == [4, 2, 1]
    for name in ("validation", "test"):
        part = parts[name]
        assert list(part.borrowed) == list(range(len(part.samples.ids)))
        lent = list(part.borrowed.values())
        assert part.samples.ids == [source.train.ids[position] for position in lent]
        assert torch.equal(part.samples.pixels, source.train.pixels[lent])


def test_of_a_given_model_only_classes_without_a_test_image_borrow(make_data: MakeData) -> None:
    source = replace(source_of(**COUNTS), test=source_of(cat=3, dog=3).train)
    part = split_parts(source, make_data(test_fraction=0.5), given=True)["test"]
    assert part.samples.ids[:6] == source.test.ids
    assert counts_of(part.samples) == [3, 3, 4]
    assert part.samples.labels[6:].tolist() == [2, 2, 2, 2]
    assert list(part.borrowed) == [6, 7, 8, 9]


def test_a_single_image_is_left_to_the_attackers(make_data: MakeData) -> None:
    parts = split_parts(source_of(cat=10, dog=1), make_data(test_fraction=0.5), given=True)
    assert counts_of(parts["test"].samples)[:2] == [5, 0]


def test_of_a_model_trained_here_a_class_without_a_test_image_gives_some(make_data: MakeData) -> None:
    source = replace(source_of(**COUNTS), test=source_of(cat=3, dog=3).train)
    parts = split_samples(source, make_data(test_fraction=0.5, validation_fraction=0.0))
    assert counts_of(parts["test"]) == [3, 3, 4]
    assert counts_of(parts["train"]) == [40, 25, 3]


def test_the_seed_alone_decides_the_split(make_data: MakeData) -> None:
    def ids(seed: int, part: str) -> list[str]:
        return split_samples(source_of(**COUNTS), make_data(seed=seed))[part].ids

    for part in ("validation", "test"):
        assert ids(3, part) == ids(3, part)
        assert ids(3, part) != ids(4, part)


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 1), (0.9, 4)])
def test_a_class_that_the_test_split_would_use_up_is_named(make_data: MakeData, fraction: float, count: int) -> None:
    with pytest.raises(InputError, match=rf"the class 'dog' has {count} image\(s\), too few to split"):
        split_samples(source_of(cat=40, dog=count), make_data(test_fraction=fraction))


def test_a_class_that_the_validation_split_would_use_up_is_named(make_data: MakeData) -> None:
    with pytest.raises(InputError, match=r"the class 'dog' has 1 image\(s\), too few to split"):
        split_samples(source_of(cat=40, dog=2), make_data())
    assert counts_of(split_samples(source_of(cat=40, dog=2), make_data(validation_fraction=0.0))["train"])[1] == 1


def test_mean_and_standard_deviation_are_those_of_the_pixels(make_data: MakeData) -> None:
    pixels = torch.randint(0, 256, (50, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels[:, 1] //= 4
    mean, std = normalisation(pixels, make_data())
    scaled = pixels.numpy() / 255
    assert mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), abs=1e-4)
    assert std == pytest.approx(scaled.std(axis=(0, 2, 3), ddof=1), abs=1e-4)


def test_given_mean_and_standard_deviation_are_used(make_data: MakeData) -> None:
    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    given = make_data(mean=[0.1, 0.2, 0.3], std=[1.0, 0.5, 0.25])
    assert normalisation(pixels, given) == ([0.1, 0.2, 0.3], [1.0, 0.5, 0.25])


@pytest.mark.parametrize("key", ["mean", "std"])
def test_given_values_must_be_as_many_as_channels(make_data: MakeData, key: str) -> None:
    with pytest.raises(InputError, match=rf"data.{key}: 3 values given, but the images have 1 channel"):
        normalisation(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), make_data(**{key: [0.5, 0.5, 0.5]}))


def test_a_channel_of_one_value_can_still_be_divided_by_its_deviation(make_data: MakeData) -> None:
    mean, std = normalisation(torch.full((4, 1, 8, 8), 51, dtype=torch.uint8), make_data())
    assert mean == [0.2]
    assert std[0] > 0


def test_normalisation_is_measured_on_the_training_split_alone(make_data: MakeData, make_forget: MakeForget) -> None:
    source = source_of(**COUNTS)
    before = prepare(source, make_data(), make_forget()).manifest
    for name in [*before.splits["validation"].ids, *before.splits["test"].ids]:
        source.train.pixels[source.train.ids.index(name), :, 2:] = 255
    after = prepare(source, make_data(), make_forget()).manifest
    assert (after.mean, after.std) == (before.mean, before.std)
    assert after.content != before.content


def test_the_manifest_describes_the_digits(make_data: MakeData, make_forget: MakeForget) -> None:
    prepared = prepare(digits.load(make_data()), make_data(image_size=16), make_forget(count=2))
    manifest = prepared.manifest
    assert (manifest.source, manifest.channels, manifest.image_size, manifest.root) == ("digits", 1, 16, None)
    assert len(manifest.forget_classes) == 2
    for name, split in manifest.splits.items():
        assert prepared.pixels[name].shape == (len(split.ids), 1, 16, 16)
    assert sum(len(split.ids) for split in manifest.splits.values()) == 1797


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_one_pixel_changes_the_content_hash(make_data: MakeData, make_forget: MakeForget, part: str) -> None:
    source = source_of(**COUNTS)
    before = prepare(source, make_data(), make_forget()).manifest
    source.train.pixels[source.train.ids.index(before.splits[part].ids[0]), 0, 4, 4] ^= 1
    after = prepare(source, make_data(), make_forget()).manifest
    assert after.content != before.content
    assert after.hash != before.hash


def test_other_forget_classes_change_no_hash(make_data: MakeData, make_forget: MakeForget) -> None:
    first, second = (
        prepare(source_of(**COUNTS), make_data(), make_forget(scenario="classes", classes=[name])).manifest
        for name in ("cat", "emu")
    )
    assert first.forget_classes != second.forget_classes
    assert first.content == second.content
    assert first.hash == second.hash


def test_a_wrong_choice_of_forget_classes_is_refused(make_data: MakeData, make_forget: MakeForget) -> None:
    with pytest.raises(InputError, match="no class 'cow'"):
        prepare(source_of(**COUNTS), make_data(), make_forget(scenario="classes", classes=["cow"]))


@pytest.mark.parametrize("needed", [True, False])
def test_a_set_that_needs_more_memory_than_allowed_is_streamed(
    tree: Path, make_data: MakeData, make_forget: MakeForget, needed: bool
) -> None:
    bytes_needed = 16 * 3 * 8 * 8
    gigabytes = (bytes_needed - needed) / 1e9
    data = make_data(name="image_folder", root=str(tree), resident_gb=gigabytes)
    prepared = prepare(image_folder.load(data), data, make_forget())
    assert prepared.manifest.root == (str(tree) if needed else None)
    assert list(prepared.pixels) == ([] if needed else ["train", "validation", "test"])


def test_images_in_memory_anyway_are_not_streamed(make_data: MakeData, make_forget: MakeForget) -> None:
    assert prepare(source_of(**COUNTS), make_data(resident_gb=0.0), make_forget()).manifest.root is None


def test_streamed_and_resident_splits_are_the_same_but_for_where_the_pixels_are(
    tree: Path, make_data: MakeData, make_forget: MakeForget
) -> None:
    def manifest(gigabytes: float) -> Manifest:
        data = make_data(name="image_folder", root=str(tree), resident_gb=gigabytes, validation_fraction=0.2)
        return prepare(image_folder.load(data), data, make_forget()).manifest

    resident, streamed = manifest(4.0), manifest(0.0)
    assert (streamed.mean, streamed.std) == (resident.mean, resident.std)
    assert streamed.channels == resident.channels == 3
    for name, split in resident.splits.items():
        assert streamed.splits[name].ids == split.ids
        assert streamed.splits[name].labels.tolist() == split.labels.tolist()


def test_the_content_hash_of_streamed_files_notes_another_size(
    tree: Path, make_data: MakeData, make_forget: MakeForget, write_image: Callable[..., Path]
) -> None:
    data = make_data(name="image_folder", root=str(tree), resident_gb=0.0)
    before = prepare(image_folder.load(data), data, make_forget()).manifest.content
    assert prepare(image_folder.load(data), data, make_forget()).manifest.content == before
    write_image(tree / "test" / "dog" / "01.png", (50, 60))
    assert prepare(image_folder.load(data), data, make_forget()).manifest.content != before


@pytest.mark.parametrize(("by", "seen"), [("times", True), ("content", False)])
def test_a_touched_streamed_file_is_another_by_its_time_and_the_same_by_its_content(
    tree: Path, make_data: MakeData, make_forget: MakeForget, by: By, seen: bool
) -> None:
    data = make_data(name="image_folder", root=str(tree), resident_gb=0.0)
    before = prepare(image_folder.load(data), data, make_forget(), by=by).manifest.content
    os.utime(tree / "test" / "dog" / "01.png", ns=(1, 1))
    assert (prepare(image_folder.load(data), data, make_forget(), by=by).manifest.content != before) == seen


def test_an_unreadable_file_of_a_streamed_test_split_is_named_now(
    tree: Path, make_data: MakeData, make_forget: MakeForget, unopenable: bytes
) -> None:
    broken = tree / "test" / "cat" / "00.png"
    broken.write_bytes(unopenable)
    data = make_data(name="image_folder", root=str(tree), resident_gb=0.0)
    with pytest.raises(InputError) as caught:
        prepare(image_folder.load(data), data, make_forget())
    assert str(caught.value).startswith(f"cannot read the image {broken} (")
    assert str(caught.value).endswith("); repair or remove it")


def test_unreadable_streamed_files_are_counted(tree: Path, make_data: MakeData, make_forget: MakeForget) -> None:
    for name in ("cat/00.png", "dog/00.png", "dog/01.png"):
        (tree / "test" / name).write_bytes(b"no image")
    data = make_data(name="image_folder", root=str(tree), resident_gb=0.0)
    with pytest.raises(InputError, match=r"test/cat/00\.png \(.*\) and 2 more; repair or remove it"):
        prepare(image_folder.load(data), data, make_forget())


@pytest.mark.parametrize("gigabytes", [4.0, 0.0])
@pytest.mark.parametrize("name", ["digits", "image_folder"])
def test_no_validation_split_works_from_source_to_batches(
    tree: Path, make_data: MakeData, make_forget: MakeForget, name: str, gigabytes: float
) -> None:
    data = make_data(name=name, root=str(tree), resident_gb=gigabytes, validation_fraction=0.0)
    source = {"digits": digits, "image_folder": image_folder}[name].load(data)
    prepared = prepare(source, data, make_forget())
    for part, pixels in prepared.pixels.items():
        save_pixels(part, pixels)
    for part, stamps in prepared.stamps.items():
        save_stamps(part, stamps)
    save_manifest(prepared.manifest)
    manifest = load_manifest()
    assert manifest.hash == prepared.manifest.hash
    seen = {}
    for part in manifest.splits:
        split = ImageSplit(manifest, part, torch.device("cpu"))
        seen[part] = sum(len(batch.labels) for batch in split.batches(in_order(manifest.select(part), 64)))
    assert seen == {part: len(split.ids) for part, split in manifest.splits.items()}
    assert seen["validation"] == 0
    assert min(seen["train"], seen["test"]) > 0


@pytest.mark.parametrize("gigabytes", [4.0, 0.0])
@pytest.mark.parametrize("resize", [[], [12], [12, 12], [16, 10]])
def test_evaluation_sees_the_same_view_whether_images_are_held_or_streamed(
    tree: Path, make_data: MakeData, make_forget: MakeForget, gigabytes: float, resize: list[int]
) -> None:
    data = make_data(name="image_folder", root=str(tree), resident_gb=gigabytes, eval_resize=resize)
    prepared = prepare(image_folder.load(data), data, make_forget())
    assert (prepared.manifest.root is None) == (gigabytes > 0)
    for part, pixels in prepared.pixels.items():
        save_pixels(part, pixels)
    for part, stamps in prepared.stamps.items():
        save_stamps(part, stamps)
    save_manifest(prepared.manifest)
    manifest = load_manifest()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (manifest.mean, manifest.std))
    split = ImageSplit(manifest, "test", torch.device("cpu"))
    (batch,) = split.batches(in_order(manifest.select("test"), 64))
    files = [tree / name for name in manifest.splits["test"].ids]
    expected = [evaluation_view(read_image(file), data.image_size, resize).float() / 255 for file in files]
    torch.testing.assert_close(batch.images, torch.stack([(image - mean) / std for image in expected]))
