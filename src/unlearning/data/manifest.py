"""The manifest: which samples exist, in which split, of which class, and which classes are to be forgotten.

It lies in two files, because only some stages depend on what is to be forgotten: data/split holds the samples and is
all that the original model and the EC modules need; data/forget.json holds the forget classes. So another choice of
classes trains no original model again.

A split can *borrow* images from the training split, which keeps them: a model that was given has seen them all, so that
there is nothing to cut off. They stand in where a measure needs images of their own, and no measure that asks for
images the model has not seen counts them.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unlearning.errors import InputError
from unlearning.files import write_atomically, write_json

SPLIT_FOLDER = Path("data/split")
MANIFEST = SPLIT_FOLDER / "manifest.json"
FORGET = Path("data/forget.json")
Part = Literal["all", "forget", "retain"]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    ids: list[str]  # names, or paths below the data root when the images are streamed from files
    labels: np.ndarray  # int64 (N,), original class ids in every split
    borrowed: dict[int, int] = field(default_factory=dict)  # {position: position in the training split}


@dataclass(frozen=True)
class Manifest:
    source: str
    classes: list[str]
    image_size: int  # px
    channels: int
    mean: list[float]  # per channel, of pixels in 0..1
    std: list[float]
    root: str | None  # folder the ids are paths in; None when the pixels lie beside the manifest
    content: (
        str  # hash of the images: pixels when resident, names of files with sizes and times, or contents, when streamed
    )
    splits: dict[str, Split]
    forget_classes: list[int]  # empty where a stage must not know them
    eval_resize: list[int] = field(default_factory=list)  # px: size before the central crop in evaluation
    held_back: tuple[int, ...] = ()  # positions in the training split that are not selected, for a while

    @property
    def hash(self) -> str:
        """Identify samples, labels, split and content; the forget classes are not part of it."""
        return hashlib.sha256(_dump(self).encode()).hexdigest()[:16]

    @property
    def erased(self) -> list[str]:
        """Return the names of the classes to forget."""
        return [self.classes[label] for label in self.forget_classes]

    def select(self, split: str, part: Part = "all") -> np.ndarray:
        """Return the positions, int64 (n,), of the forget or retain samples (or all) within a split."""
        labels = self.splits[split].labels
        forget = np.isin(labels, self.forget_classes)
        chosen = {"all": np.ones_like(forget), "forget": forget, "retain": ~forget}[part]
        if split == "train":
            chosen[list(self.held_back)] = False
        return np.flatnonzero(chosen)

    def own(self, split: str) -> np.ndarray:
        """Return which samples of a split, bool (N,), are its own: not borrowed from the training split."""
        own = np.ones(len(self.splits[split].labels), dtype=bool)
        own[list(self.splits[split].borrowed)] = False
        return own

    def holding_back(self, split: str) -> "Manifest":
        """Return the manifest whose training split selects none of the images that the given split borrows."""
        return replace(self, held_back=tuple(self.splits[split].borrowed.values()))

    def without_validation(self) -> "Manifest":
        """Return the manifest with an empty validation split: a run on it measures nothing in between."""
        return replace(self, splits=self.splits | {"validation": Split([], np.zeros(0, dtype=np.int64))})


def save_manifest(manifest: Manifest) -> None:
    """Write both files, each atomically."""
    write_atomically(MANIFEST, lambda temporary: temporary.write_text(_dump(manifest), encoding="utf-8"))
    chosen = {"split": manifest.hash, "forget_classes": manifest.forget_classes, "names": manifest.erased}
    write_json(FORGET, chosen)


def load_manifest() -> Manifest:
    """Read samples and forget classes; raises InputError when a file is missing, broken, or of another split."""
    samples = load_samples()
    chosen = _read(FORGET)
    try:
        split, classes = chosen["split"], chosen["forget_classes"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{FORGET} is no choice of classes ({error}); run `dvc repro --force split`") from None
    if split != samples.hash:
        raise InputError(f"{FORGET} belongs to another split than {MANIFEST}; run `dvc repro --force split`")
    return replace(samples, forget_classes=classes)


def load_samples() -> Manifest:
    """Read the samples only, with no class to forget; raises InputError when the file is missing or broken."""
    fields = _read(MANIFEST)
    try:
        splits = {
            name: Split(split["ids"], np.asarray(split["labels"], dtype=np.int64), _borrowed(split))
            for name, split in fields.pop("splits").items()
        }
        return Manifest(**fields, splits=splits, forget_classes=[])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{MANIFEST} is not a manifest ({error}); run `dvc repro --force split`") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} not found; run `dvc repro split` first") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); run `dvc repro --force split`") from None
    return fields


def _borrowed(split: dict[str, Any]) -> dict[int, int]:
    return {int(position): lender for position, lender in split.get("borrowed", {}).items()}


def _dump(manifest: Manifest) -> str:
    """One line a field: short enough to look at, and diffs name the field."""
    written = [key for key in vars(manifest) if key not in ("splits", "forget_classes", "held_back")]
    lines = [f"{json.dumps(key)}: {json.dumps(getattr(manifest, key))}" for key in written]
    splits = [f"{json.dumps(name)}: {_dump_split(split)}" for name, split in manifest.splits.items()]
    return "{" + ",\n".join([*lines, '"splits": {' + ",\n".join(splits) + "}"]) + "}\n"


def _dump_split(split: Split) -> str:
    fields = {"labels": split.labels.tolist(), "ids": split.ids} | (
        {"borrowed": split.borrowed} if split.borrowed else {}
    )
    return "{" + ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()) + "}"
