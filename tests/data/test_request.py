"""What is to be forgotten beside whole classes of one request: samples, and classes that were erased before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearning.data.batches import ImageSplit, in_order, save_pixels
from unlearning.data.manifest import (
    Manifest,
    Split,
    load_earlier,
    load_erased,
    load_manifest,
    load_samples,
    save_manifest,
)
from unlearning.errors import InputError
from unlearning.params import Data
from unlearning.sources import Samples, Source
from unlearning.splitting.images import prepare

PER_CLASS, NAMES = 10, ["ant", "bee", "cat", "dog"]


@pytest.fixture
def source() -> Source:
    labels = np.repeat(np.arange(len(NAMES)), PER_CLASS)
    pixels = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return Source(NAMES, Samples([f"image {n}" for n in range(len(labels))], labels, pixels), test=None)


@pytest.fixture
def data() -> Data:
    fields = {"name": "digits", "root": ".", "test_fraction": 0.2, "validation_fraction": 0.1, "seed": 0}
    more = {"image_size": 4, "eval_resize": [], "mean": None, "std": None, "resident_gb": 1.0, "workers": 0}
    more |= {"value_range": None, "max_pixels": 1000}
    return Data.model_validate(fields | more)


@pytest.fixture
def written(
    source: Source, data: Data, make_forget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Manifest]:
    """Return a function that splits by a request, with a given original, and writes what the stage `split` writes."""
    monkeypatch.chdir(tmp_path)

    def write(**forget: object) -> Manifest:
        prepared = prepare(source, data, make_forget(**forget), given=True)
        for name, pixels in prepared.pixels.items():
            save_pixels(name, pixels)
        save_manifest(prepared.manifest)
        return prepared.manifest

    return write


def shown(manifest: Manifest, split: str) -> list[str]:
    """Return the ids of the images that a split reads, found by their pixels: each image is of one value of its own."""
    images = ImageSplit(replace(manifest, mean=[0.0], std=[1.0]), split, torch.device("cpu"))
    batches = images.batches(in_order(np.arange(len(images.labels)), 7))
    return [f"image {round(float(image.mean()) * 255)}" for batch in batches for image in batch.images]


def test_no_stage_sees_an_image_of_a_class_erased_before_but_the_one_that_measures_it(written) -> None:
    whole = written(scenario="classes", classes=["bee"], before=["dog"])
    for manifest in (load_samples(), load_manifest()):
        for split in manifest.splits:
            assert 3 not in manifest.splits[split].labels
            assert shown(manifest, split) == manifest.splits[split].ids
    assert load_manifest().absent_classes == [1, 3]
    assert load_manifest().kept_classes == [0, 2]
    earlier = load_earlier()
    assert earlier is not None
    assert earlier.forget_classes == [3]
    assert set(earlier.splits["train"].labels[earlier.select("train", "forget")]) == {3}
    assert set(earlier.splits["train"].labels[earlier.select("train", "retain")]) == {0, 2}  # without this request's
    assert shown(earlier, "test") == earlier.splits["test"].ids
    assert {load_samples().hash, load_manifest().hash, earlier.hash} == {whole.hash}


def test_borrowed_images_are_still_those_of_the_training_split_when_a_class_is_left_out(written) -> None:
    written(scenario="classes", classes=["bee"], before=["ant"])
    manifest = load_manifest()
    lent = manifest.splits["test"].borrowed
    assert lent
    assert all(
        manifest.splits["test"].ids[place] == manifest.splits["train"].ids[lender] for place, lender in lent.items()
    )


def test_nothing_changes_where_nothing_was_erased_before(written) -> None:
    whole = written(scenario="classes", classes=["bee"])
    manifest = load_manifest()
    assert manifest.view_of is None
    assert manifest.splits["train"].rows is None
    assert manifest.hash == whole.hash
    assert load_earlier() is None


def test_a_second_request_is_about_the_same_split(written) -> None:
    first = written(scenario="classes", classes=["dog"]).hash
    assert written(scenario="classes", classes=["bee"], before=["dog"]).hash == first


@pytest.mark.parametrize(
    ("forget", "said"),
    [
        ({"classes": ["bee"], "before": ["bee"]}, "'bee' would be forgotten by this request too"),
        ({"classes": ["bee"], "before": ["ant", "cat", "dog"]}, "none would be left"),
        ({"classes": ["bee"], "before": ["dgo"]}, "forget.before: no class 'dgo' .did you mean 'dog'"),
    ],
)
def test_a_wrong_list_of_earlier_classes_is_refused(written, forget: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        written(scenario="classes", **forget)


def test_a_purge_is_about_all_that_was_ever_erased(written, tmp_path: Path) -> None:
    whole = written(scenario="classes", classes=["bee"], before=["dog"])
    erased = load_erased()
    assert erased.erased == ["bee", "dog"]
    assert set(erased.splits["train"].labels[erased.to_forget("train")]) == {1, 3}
    assert erased.splits["train"].rows is None  # positions are those of the file of pixels
    assert erased.hash == whole.hash
    (tmp_path / "ids.txt").write_text("image 31", encoding="utf-8")
    written(scenario="samples", file=str(tmp_path / "ids.txt"), before=["ant"])
    ids = np.array(load_erased().splits["train"].ids)[load_erased().to_forget("train")]
    assert set(ids) == {f"image {n}" for n in range(10)} | {"image 31"}


def test_samples_are_chosen_over_all_classes_and_stay_in_the_training_split(written) -> None:
    manifest = written(scenario="samples", share=0.3)
    assert load_manifest().forget_samples == manifest.forget_samples
    chosen = manifest.select("train", "forget")
    assert len(chosen) == 12
    assert len(set(manifest.splits["train"].labels[chosen])) == 4
    assert sorted([*chosen, *manifest.select("train", "retain")]) == list(range(40))
    assert not len(manifest.select("test", "forget"))
    assert manifest.kept_classes == [0, 1, 2, 3]
    lent = {lender for split in ("validation", "test") for lender in manifest.splits[split].borrowed.values()}
    assert not lent & set(chosen)


def test_samples_can_be_listed_by_their_ids(written, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("image 5\n\nimage 31\nimage 5\n", encoding="utf-8")
    manifest = written(scenario="samples", file=str(listed))
    assert [manifest.splits["train"].ids[position] for position in load_manifest().forget_samples] == [
        "image 5",
        "image 31",
    ]


def test_a_sample_to_forget_is_not_cut_off_for_another_split(
    source: Source, data: Data, make_forget, tmp_path: Path
) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(f"image {n}" for n in range(7)), encoding="utf-8")  # of ten of the first class
    manifest = prepare(source, data, make_forget(scenario="samples", file=str(listed))).manifest
    assert [manifest.splits["train"].ids[position] for position in manifest.forget_samples] == [
        f"image {n}" for n in range(7)
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("image 99", "no training image 'image 99' .did you mean"),
        ("\n", "no sample is chosen"),
        ("\n".join(f"image {n}" for n in range(10)), "every training image of 'ant'"),
    ],
)
def test_a_wrong_list_of_samples_is_refused(written, tmp_path: Path, lines: str, said: str) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text(lines, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        written(scenario="samples", file=str(listed))


def test_a_sample_of_a_class_erased_before_is_refused(written, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("image 5", encoding="utf-8")
    with pytest.raises(InputError, match="'image 5' is of a class of forget.before"):
        written(scenario="samples", file=str(listed), before=["ant"])


def test_another_choice_of_samples_is_another_request(written) -> None:
    first, other = written(scenario="samples").request, written(scenario="samples", seed=1).request
    assert first
    assert first != other
    assert written(scenario="classes", classes=["bee"]).request == [1]


def test_a_split_keeps_its_rows_through_two_cuts() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    split = Split([f"{n}" for n in range(6)], labels)
    manifest = Manifest("x", ["a", "b", "c"], 4, 1, [0.0], [1.0], None, "", {"train": split}, [])
    twice = manifest.without([1]).without([0]).splits["train"]
    assert twice.rows is not None
    assert twice.rows.tolist() == [2, 5]
    assert twice.ids == ["2", "5"]
