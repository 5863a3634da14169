"""Every kind of file that one stage writes and another reads, damaged at random: see `damage`."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.conftest import SHAPE
from tests.damage import BYTES, JSON, assert_noticed
from unlearning.data.batches import load_pixels
from unlearning.data.manifest import FORGET, MANIFEST, Manifest, Split, load_manifest, pixel_file, save_manifest
from unlearning.errors import InputError
from unlearning.files import sha256_of
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_checkpoint, new_header, save_checkpoint
from unlearning.models.given import GivenFile, load_given
from unlearning.read_back import SEAL, sealed
from unlearning.sealed_tensors import HEADER, tensors_hash

pytestmark = pytest.mark.chaos


def same_manifest(one: Manifest, other: Manifest) -> bool:
    return one.hash == other.hash and one.request == other.request and one.pixels == other.pixels


@pytest.mark.parametrize("path", [MANIFEST, FORGET])
@pytest.mark.usefixtures("world")
def test_a_damaged_manifest_or_forget_set_is_noticed(path: Path) -> None:
    assert_noticed(path, load_manifest, [*BYTES, *JSON], same_manifest)


@pytest.mark.usefixtures("world")
def test_damaged_pixels_are_noticed() -> None:
    manifest = load_manifest()
    assert_noticed(
        pixel_file("test"),
        lambda: load_pixels("test", np.arange(24), manifest.pixels["test"]),
        BYTES,
        torch.equal,
    )


@pytest.mark.usefixtures("world")
def test_pixels_of_another_split_of_the_same_form_are_noticed() -> None:
    manifest = load_manifest()
    content = bytearray(pixel_file("train").read_bytes())
    content[-1] ^= 1
    pixel_file("train").write_bytes(content)
    with pytest.raises(InputError, match=r"train\.npy is not a file of pixels of this split .*hash is not the mani"):
        load_pixels("train", expected=manifest.pixels["train"])


def saved_model(world: Manifest) -> Path:
    path = checkpoint_path("original", 0)
    torch.manual_seed(0)
    header = new_header(SHAPE, world, "train@original", {"lr": 0.1}, seed=0)
    save_checkpoint(path, Checkpoint(header, build(SHAPE), None))
    return path


def test_a_damaged_checkpoint_is_noticed(world: Manifest) -> None:
    def same(one: Checkpoint, other: Checkpoint) -> bool:
        return one.header == other.header and one.weights == other.weights == tensors_hash(named(one.model))

    path = saved_model(world)
    assert_noticed(path, lambda: load_checkpoint(path, world), [*BYTES, header_damaged], same)


def test_a_damaged_checkpoint_from_elsewhere_is_noticed_by_its_sha256(world: Manifest) -> None:
    torch.manual_seed(0)
    weights, path = build(SHAPE).state_dict(), Path("theirs.pth")
    torch.save(weights, path)
    file = GivenFile(path, sha256_of(path), None, "original")
    assert_noticed(path, lambda: load_given(file, SHAPE, world), BYTES, lambda *_: False)


def test_a_damaged_checkpoint_from_elsewhere_without_one_is_taken_or_told(world: Manifest) -> None:
    """No hash says what it was, so that other numbers may be taken, if they can be weights at all."""
    torch.manual_seed(0)
    weights, path = build(SHAPE).state_dict(), Path("theirs.safetensors")
    save_file(weights, path)
    file = GivenFile(path, None, None, "original")
    assert_noticed(
        path,
        lambda: load_given(file, SHAPE, replace(world, forget_classes=[])).model,
        BYTES,
        lambda one, _: all(value.isfinite().all() for value in one.state_dict().values()),
    )


def named(model: nn.Module) -> dict[str, Tensor]:
    return {f"model.{name}": value for name, value in model.state_dict().items()}


def header_damaged(content: bytes, random: Random) -> bytes:
    """Damage the header of a safetensors file and give it the length that it then has."""
    length = int.from_bytes(content[:8], "little")
    header = random.choice([*BYTES, *JSON])(content[8 : 8 + length], random)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a file for timm": lambda f: f["architecture"]["kwargs"].update(checkpoint_path="x.pth"),
    "a hub": lambda f: f["architecture"].update(name="hf-hub:x/y"),
    "an architecture that is none": lambda f: f.update(architecture="resnet18"),
    "a class that is none": lambda f: f.update(forget_classes=[6]),
    "another number of outputs": lambda f: f["architecture"].update(classes=7),
    "no split": lambda f: f.update(split=None),
    "a mean too many": lambda f: f.update(mean=[0.1, 0.2]),
    "an unknown key": lambda f: f.update(more=1),
    "a seed in words": lambda f: f.update(seed="one"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_that_cannot_be_is_refused_whatever_its_seal_says(world: Manifest, what: str) -> None:
    path = saved_model(world)
    with safe_open(path, framework="pt") as file:
        fields = json.loads(file.metadata()[HEADER])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    del fields[SEAL]
    HEADERS[what](fields)
    save_file(tensors, path, metadata={HEADER: json.dumps(sealed(fields))})
    with pytest.raises(InputError, match=rf"^{path} is not a checkpoint .*; run `dvc repro --force train@original`$"):
        load_checkpoint(path, world)


@pytest.mark.parametrize("path", [MANIFEST, FORGET])
def test_what_is_no_regular_file_hangs_nothing(world: Manifest, path: Path) -> None:  # noqa: ARG001
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)):
        path.unlink() if not path.is_dir() or path.is_symlink() else path.rmdir()
        make(path)
        with pytest.raises(InputError, match=str(path)):
            load_manifest()


def test_a_link_to_the_file_is_the_file(world: Manifest) -> None:
    MANIFEST.rename("elsewhere.json")
    MANIFEST.symlink_to(Path("elsewhere.json").resolve())
    assert stat.S_ISLNK(MANIFEST.lstat().st_mode)
    assert load_manifest().hash == world.hash


def resealed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a sealed file and seal it anew, as a forger would."""
    fields = json.loads(path.read_text())
    del fields[SEAL]
    change(fields)
    path.write_text(json.dumps(sealed(fields)))


IMPOSSIBLE: dict[str, tuple[Path, Callable[[dict[str, Any]], Any]]] = {
    "an id twice": (MANIFEST, lambda f: f["splits"]["train"]["ids"].__setitem__(0, "train/1")),
    "a test id among the training ids": (MANIFEST, lambda f: f["splits"]["test"]["ids"].__setitem__(0, "train/1")),
    "a label beyond the classes": (MANIFEST, lambda f: f["splits"]["test"]["labels"].__setitem__(0, 6)),
    "a negative label": (MANIFEST, lambda f: f["splits"]["test"]["labels"].__setitem__(0, -1)),
    "a label too few": (MANIFEST, lambda f: f["splits"]["test"]["labels"].pop()),
    "a path out of the root": (MANIFEST, lambda f: f["splits"]["test"]["ids"].__setitem__(0, "a/../../etc/passwd")),
    "an absolute path": (MANIFEST, lambda f: f["splits"]["test"]["ids"].__setitem__(0, "/dev/zero")),
    "a drive": (MANIFEST, lambda f: f["splits"]["test"]["ids"].__setitem__(0, "C:\\x.png")),
    "no standard deviation": (MANIFEST, lambda f: f.update(std=[0.0])),
    "a mean too many": (MANIFEST, lambda f: f.update(mean=[0.1, 0.2])),
    "a class twice": (MANIFEST, lambda f: f["classes"].__setitem__(0, "class1")),
    "no test split": (MANIFEST, lambda f: f["splits"].pop("test")),
    "a loan of another sample": (MANIFEST, lambda f: f["splits"]["test"].update(borrowed={"0": 0})),
    "a loan of no sample": (MANIFEST, lambda f: f["splits"]["test"].update(borrowed={"9999": 0})),
    "an unknown key": (MANIFEST, lambda f: f.update(root2="/")),
    "nothing to forget": (FORGET, lambda f: f.update(forget_classes=[], names=[])),
    "all to forget": (FORGET, lambda f: f.update(forget_classes=list(range(6)), names=[f"class{i}" for i in range(6)])),
    "a class that is none": (FORGET, lambda f: f.update(forget_classes=[99])),
    "null": (FORGET, lambda f: f.update(forget_classes=None)),
    "a class to forget twice": (FORGET, lambda f: f.update(forget_classes=[1, 1], names=["class1", "class1"])),
    "other names": (FORGET, lambda f: f.update(names=["class0", "class4"])),
    "classes and samples": (FORGET, lambda f: f.update(forget_samples=["train/1"])),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_cannot_be_is_refused_whatever_its_seal_says(world: Manifest, what: str) -> None:
    splits = {
        name: replace(one, ids=[f"{name}/{i}" for i in range(len(one.ids))]) for name, one in world.splits.items()
    }
    save_manifest(replace(world, root="images", splits=splits))
    load_manifest()
    path, change = IMPOSSIBLE[what]
    resealed(path, change)
    with pytest.raises(InputError, match=rf"^{path} is not a .*; run `dvc repro --force split`$"):
        load_manifest()


@pytest.mark.parametrize("content", ["[]", "[99]", "null", "{}", '{"forget_classes": []}'])
@pytest.mark.usefixtures("world")
def test_a_forget_set_written_by_hand_is_refused(content: str) -> None:
    FORGET.write_text(content)
    with pytest.raises(InputError, match=r"forget\.json is not a choice of what to forget .*; run `dvc repro --force"):
        load_manifest()


def test_borrowed_samples_may_stand_in_two_splits(world: Manifest) -> None:
    train = world.splits["train"]
    ids = [f"train/{name}" for name in train.ids]
    lent = Split(ids[:3], train.labels[:3], {0: 0, 1: 1, 2: 2})
    splits = world.splits | {"train": Split(ids, train.labels), "test": lent}
    save_manifest(replace(world, root="images", splits=splits))
    assert load_manifest().splits["test"].borrowed == lent.borrowed
