import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearning.data.batches import save_pixels
from unlearning.data.manifest import (
    FORGET,
    MANIFEST,
    Manifest,
    Split,
    load_manifest,
    load_samples,
    pixel_file,
    save_manifest,
)
from unlearning.errors import InputError
from unlearning.files import sha256_of

LABELS = {"train": [2, 0, 1, 2, 0, 1, 1], "validation": [0, 1, 2], "test": [1, 1, 0, 2]}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.chdir(tmp_path)
    splits = {
        name: Split([f"{name}/caf\u00e9 {i}.png" for i in range(len(labels))], np.array(labels, dtype=np.int64))
        for name, labels in LABELS.items()
    }
    names = ["cat", "dog", "caf\u00e9"]
    return Manifest("image_folder", names, 8, 3, [0.1, 0.2, 0.3], [0.25, 0.3, 1.0], "images", "abc", splits, [0, 2])


def assert_same(left: Manifest, right: Manifest) -> None:
    assert {**vars(left), "splits": None} == {**vars(right), "splits": None}
    assert list(left.splits) == list(right.splits)
    for name, split in left.splits.items():
        assert split.ids == right.splits[name].ids
        assert split.labels.dtype == right.splits[name].labels.dtype == np.int64
        assert split.labels.tolist() == right.splits[name].labels.tolist()


def test_round_trip(manifest: Manifest) -> None:
    save_manifest(manifest)
    assert_same(load_manifest(), manifest)


def test_round_trip_of_resident_pixels_and_an_empty_split(manifest: Manifest) -> None:
    splits = {**manifest.splits, "validation": Split([], np.zeros(0, dtype=np.int64))}
    for name, split in splits.items():
        save_pixels(name, torch.zeros(len(split.labels), 3, 8, 8, dtype=torch.uint8))
    resident = replace(manifest, root=None, splits=splits)
    save_manifest(resident)
    hashes = {name: sha256_of(pixel_file(name)) for name in splits}
    assert_same(load_manifest(), replace(resident, pixels=hashes))


def test_samples_alone_know_no_class_to_forget_and_need_no_forget_file(manifest: Manifest) -> None:
    save_manifest(manifest)
    FORGET.unlink()
    assert_same(load_samples(), replace(manifest, forget_classes=[]))


def test_the_sample_file_is_the_same_whatever_is_forgotten(manifest: Manifest) -> None:
    save_manifest(manifest)
    before = MANIFEST.read_bytes()
    save_manifest(replace(manifest, forget_classes=[1]))
    assert MANIFEST.read_bytes() == before
    assert load_manifest().forget_classes == [1]


def test_the_forget_file_names_the_classes(manifest: Manifest) -> None:
    save_manifest(manifest)
    assert json.loads(FORGET.read_text())["names"] == ["cat", "caf\u00e9"]


@pytest.mark.parametrize(
    ("split", "part", "positions"),
    [
        ("train", "all", [0, 1, 2, 3, 4, 5, 6]),
        ("train", "forget", [0, 1, 3, 4]),
        ("train", "retain", [2, 5, 6]),
        ("test", "forget", [2, 3]),
        ("test", "retain", [0, 1]),
    ],
)
def test_select_returns_positions_within_the_split(
    manifest: Manifest, split: str, part: str, positions: list[int]
) -> None:
    selected = manifest.select(split, part)
    assert selected.tolist() == positions
    assert selected.dtype == np.int64


def test_without_forget_classes_everything_is_retained(manifest: Manifest) -> None:
    manifest = replace(manifest, forget_classes=[])
    assert manifest.select("train", "forget").tolist() == []
    assert manifest.select("train", "retain").tolist() == manifest.select("train").tolist()


def test_the_hash_does_not_depend_on_the_forget_classes(manifest: Manifest) -> None:
    assert replace(manifest, forget_classes=[1]).hash == manifest.hash


@pytest.mark.parametrize(
    "field", ["source", "classes", "image_size", "channels", "mean", "std", "root", "content", "ids", "labels"]
)
def test_the_hash_depends_on_all_else(manifest: Manifest, field: str) -> None:
    test = manifest.splits["test"]
    changed = {
        "source": "digits",
        "classes": ["cat", "dog", "cow"],
        "image_size": 9,
        "channels": 1,
        "mean": [0.1, 0.2, 0.4],
        "std": [0.25, 0.3, 0.9],
        "root": None,
        "content": "abd",
        "ids": Split([*test.ids[:-1], "another.png"], test.labels),
        "labels": Split(test.ids, test.labels[::-1].copy()),
    }[field]
    if isinstance(changed, Split):
        other = replace(manifest, splits={**manifest.splits, "test": changed})
    else:
        other = replace(manifest, **{field: changed})
    assert other.hash != manifest.hash


def test_the_hash_survives_the_round_trip(manifest: Manifest) -> None:
    save_manifest(manifest)
    assert load_samples().hash == load_manifest().hash == manifest.hash


def test_the_forget_file_of_another_split_is_refused(manifest: Manifest) -> None:
    save_manifest(replace(manifest, content="another"))
    forget = FORGET.read_text()
    save_manifest(manifest)
    FORGET.write_text(forget)
    with pytest.raises(InputError, match=f"{FORGET} belongs to another split than {MANIFEST}; run `dvc repro"):
        load_manifest()
    assert_same(load_samples(), replace(manifest, forget_classes=[]))


@pytest.mark.parametrize("path", [MANIFEST, FORGET])
def test_a_missing_file_is_named_with_what_to_run(manifest: Manifest, path: Path) -> None:
    save_manifest(manifest)
    path.unlink()
    with pytest.raises(InputError, match=re.escape(f"{path} not found; run `dvc repro split` first")):
        load_manifest()


@pytest.mark.parametrize("content", [b"", b'{"split": ', b"\xff\xfe\x00"])
@pytest.mark.parametrize("path", [MANIFEST, FORGET])
def test_a_file_that_is_not_json_is_named_with_what_to_run(manifest: Manifest, path: Path, content: bytes) -> None:
    save_manifest(manifest)
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} is not JSON .*; run `dvc repro --force split`"):
        load_manifest()


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"splits": []}', '{"splits": {"train": {"ids": []}}}'])
def test_json_that_is_no_manifest_is_named_with_what_to_run(manifest: Manifest, content: str) -> None:
    save_manifest(manifest)
    MANIFEST.write_text(content)
    with pytest.raises(InputError, match=f"{MANIFEST} is not a manifest .*; run `dvc repro --force split`"):
        load_manifest()


@pytest.mark.parametrize("lost", ["classes", "mean", "content"])
def test_a_manifest_with_a_field_lost_names_the_field(manifest: Manifest, lost: str) -> None:
    save_manifest(manifest)
    fields = json.loads(MANIFEST.read_text())
    del fields[lost]
    MANIFEST.write_text(json.dumps(fields))
    with pytest.raises(InputError, match=f"{MANIFEST} is not a manifest .*'{lost}'"):
        load_manifest()


@pytest.mark.parametrize("content", ["[]", "{}", '{"split": "HASH"}'])
def test_a_forget_file_without_classes_is_refused_with_what_to_run(manifest: Manifest, content: str) -> None:
    save_manifest(manifest)
    FORGET.write_text(content.replace("HASH", manifest.hash))
    with pytest.raises(InputError, match=f"{FORGET} .*run `dvc repro --force split`"):
        load_manifest()


@pytest.fixture
def lending(manifest: Manifest) -> Manifest:
    """Return the manifest with a test split of which the first and the last sample are training samples 1 and 4."""
    train, test = manifest.splits["train"], manifest.splits["test"]
    ids = [train.ids[1], *test.ids[1:3], train.ids[4]]
    labels = np.array([train.labels[1], *test.labels[1:3], train.labels[4]])
    return replace(manifest, splits=manifest.splits | {"test": Split(ids, labels, {0: 1, 3: 4})})


def test_round_trip_of_borrowed_samples(lending: Manifest) -> None:
    save_manifest(lending)
    assert_same(load_manifest(), lending)
    assert load_manifest().splits["test"].borrowed == {0: 1, 3: 4}
    assert load_manifest().splits["train"].borrowed == {}


def test_a_split_knows_which_samples_are_its_own(lending: Manifest) -> None:
    assert lending.own("test").tolist() == [False, True, True, False]
    assert lending.own("train").all()


def test_what_is_held_back_for_a_split_is_selected_in_no_part_of_the_training_split(lending: Manifest) -> None:
    held_back = lending.holding_back("test")
    assert held_back.select("train").tolist() == [0, 2, 3, 5, 6]
    assert held_back.select("train", "forget").tolist() == [0, 3]
    assert held_back.select("train", "retain").tolist() == [2, 5, 6]
    assert held_back.select("test").tolist() == [0, 1, 2, 3]
    assert lending.holding_back("validation").select("train").tolist() == list(range(7))
    assert held_back.hash == lending.hash
    assert held_back.without_validation().select("train").tolist() == [0, 2, 3, 5, 6]


def test_borrowed_samples_are_part_of_the_identity_and_only_where_there_are_some(
    manifest: Manifest, lending: Manifest
) -> None:
    plain = replace(lending, splits=lending.splits | {"test": replace(lending.splits["test"], borrowed={})})
    assert plain.hash != lending.hash
    save_manifest(manifest)
    assert "borrowed" not in MANIFEST.read_text()


def test_judged_on_validation_it_stands_in_the_tests_place(manifest: Manifest) -> None:
    judged = manifest.judged_on("validation")
    assert judged.splits["test"].ids == manifest.splits["validation"].ids
    assert judged.splits["test"].labels.tolist() == LABELS["validation"]
    assert judged.splits["test"].pixels_of == "validation"
    assert judged.splits["validation"].ids == []
    assert judged.splits["train"] is manifest.splits["train"]
    assert judged.hash == manifest.hash
    assert judged.without([0]).splits["test"].pixels_of == "validation"
    assert manifest.judged_on("test") is manifest


def test_judged_on_an_empty_split_says_what_to_set(manifest: Manifest) -> None:
    with pytest.raises(InputError, match=r"evaluate\.split: the validation split has no image.*validation_fraction"):
        manifest.without_validation().judged_on("validation")
