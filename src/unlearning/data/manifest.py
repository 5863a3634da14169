"""The manifest: which samples exist, in which split, of which class, and what is to be forgotten.

It lies in two files, because only some stages depend on what is to be forgotten: data/split holds the samples and is
all that the original model and the EC modules need; data/forget.json holds the classes, or the samples, to forget. So
another choice of them trains no original model again.

Classes that an earlier request has erased keep their place in the class list, but no stage sees a sample of them: they
are loaded by `load_earlier` alone, which measures whether they come back.

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
UNWRITTEN = ("splits", "forget_classes", "forget_samples", "held_back", "view_of")  # fields that the first file lacks
WHERE_KNOWN = ("value_range", "told_by")  # fields that the first file lacks where they are None


@dataclass(frozen=True)
class Split:
    ids: list[str]  # names, or paths below the data root when the images are streamed from files
    labels: np.ndarray  # int64 (N,), original class ids in every split
    borrowed: dict[int, int] = field(default_factory=dict)  # {position: position in the training split}
    rows: np.ndarray | None = (
        None  # int64 (N,), where in the file of pixels the samples lie; None = all of it, in order
    )
    pixels_of: str | None = None  # the split in whose file of pixels they lie; None = its own


@dataclass(frozen=True)
class Manifest:
    source: str
    classes: list[str]
    image_size: int  # px
    channels: int
    mean: list[float]  # per channel, of pixels in 0..1
    std: list[float]
    root: str | None  # folder the ids are paths in; None when the pixels lie beside the manifest
    content: str  # hash of the images: pixels when resident, paths with sizes and times, or contents, when streamed
    splits: dict[str, Split]
    forget_classes: list[int]  # empty where a stage must not know them
    eval_resize: list[int] = field(default_factory=list)  # px: size before the central crop in evaluation
    erased_before: list[int] = field(default_factory=list)  # classes of earlier requests, which the original lacks
    value_range: list[float] | None = None  # black and white of images of more than 8 bits; None = there are none
    told_by: Literal["times", "content"] | None = None  # how streamed files are compared; None = not
    forget_samples: tuple[int, ...] = ()  # positions in the training split; where there are some, no class is forgotten
    held_back: tuple[int, ...] = ()  # positions in the training split that are not selected, for a while
    view_of: str | None = None  # hash of the manifest that this one shows a part of

    @property
    def hash(self) -> str:
        """Identify samples, labels, split and content; what is to be forgotten, or was before, is not part of it."""
        return self.view_of or hashlib.sha256(_dump(replace(self, erased_before=[])).encode()).hexdigest()[:16]

    @property
    def request(self) -> list[int] | str:
        """Identify what is to be forgotten: the classes, or a hash of the samples."""
        if not self.forget_samples:
            return self.forget_classes
        return hashlib.sha256(json.dumps(self.erased_samples).encode()).hexdigest()[:16]

    @property
    def absent_classes(self) -> list[int]:
        """The classes that no image may be given to any more: those to forget, and those erased before."""
        return sorted({*self.forget_classes, *self.erased_before})

    @property
    def kept_classes(self) -> list[int]:
        """The other classes."""
        absent = set(self.absent_classes)
        return [label for label in range(len(self.classes)) if label not in absent]

    def to_forget(self, split: str) -> np.ndarray:
        """Return which samples of a split, bool (N,), are to be forgotten."""
        forget = np.isin(self.splits[split].labels, self.forget_classes)
        if split == "train":
            forget[list(self.forget_samples)] = True
        return forget

    @property
    def erased_samples(self) -> list[str]:
        """Return the ids of the samples to forget."""
        return [self.splits["train"].ids[position] for position in self.forget_samples]

    @property
    def erased(self) -> list[str]:
        """Return the names of the classes to forget."""
        return [self.classes[label] for label in self.forget_classes]

    def select(self, split: str, part: Part = "all") -> np.ndarray:
        """Return the positions, int64 (n,), of the forget or retain samples (or all) within a split."""
        forget = self.to_forget(split)
        chosen = {"all": np.ones_like(forget), "forget": forget, "retain": ~forget}[part]
        if split == "train":
            chosen[list(self.held_back)] = False
        return np.flatnonzero(chosen)

    def without(self, classes: list[int]) -> "Manifest":
        """Return the manifest without the samples of some classes, which stay in the class list.

        The samples to forget are left out too where the classes are not empty: choose them afterwards.
        """
        if not classes:
            return self
        shown = {name: np.flatnonzero(~np.isin(split.labels, classes)) for name, split in self.splits.items()}
        splits = {name: _part_of(split, shown[name], shown["train"]) for name, split in self.splits.items()}
        return replace(self, splits=splits, forget_samples=(), held_back=(), view_of=self.hash)

    def own(self, split: str) -> np.ndarray:
        """Return which samples of a split, bool (N,), are its own: not borrowed from the training split."""
        own = np.ones(len(self.splits[split].labels), dtype=bool)
        own[list(self.splits[split].borrowed)] = False
        return own

    def holding_back(self, split: str) -> "Manifest":
        """Return the manifest whose training split selects none of the images that the given split borrows."""
        return replace(self, held_back=tuple(self.splits[split].borrowed.values()))

    def judged_on(self, split: str) -> "Manifest":
        """Return the manifest in which a split stands in the test split's place, and is empty itself.

        What is tried and chosen looks at the validation images, and leaves the test images to the result. Raises
        InputError when the split has no image.
        """
        if split == "test":
            return self
        if not len(self.splits[split].labels):
            raise InputError(
                f"evaluate.split: the {split} split has no image; set data.validation_fraction above 0, or look at test"
            )
        stand_in = replace(self.splits[split], pixels_of=self.splits[split].pixels_of or split)
        return replace(self, view_of=self.hash, splits=self.splits | {split: _no_sample(), "test": stand_in})

    def without_validation(self) -> "Manifest":
        """Return the manifest with an empty validation split: a run on it measures nothing in between."""
        return replace(self, splits=self.splits | {"validation": _no_sample()})


def save_manifest(manifest: Manifest) -> None:
    """Write both files, each atomically."""
    write_atomically(MANIFEST, lambda temporary: temporary.write_text(_dump(manifest), encoding="utf-8"))
    chosen = {"split": manifest.hash, "forget_classes": manifest.forget_classes, "names": manifest.erased}
    samples = {"forget_samples": manifest.erased_samples} if manifest.forget_samples else {}
    write_json(FORGET, chosen | samples)


def load_manifest() -> Manifest:
    """Read samples and what is to be forgotten; raises InputError when a file is missing, broken, or of another split.

    Samples of classes that were erased before are left out.
    """
    return _with_request(load_samples())


def load_earlier() -> Manifest | None:
    """Read the manifest in which the classes of earlier requests are those to forget; None where there are none.

    Samples of the classes that this request forgets are left out. Raises InputError like `load_manifest`.
    """
    whole = _load_whole()
    if not whole.erased_before:
        return None
    now = _with_request(whole).forget_classes
    return replace(whole.without(now), forget_classes=whole.erased_before, erased_before=now)


def load_erased() -> Manifest:
    """Read the manifest in which all that was ever erased is to be forgotten: by this request, and before.

    Raises InputError like `load_manifest`.
    """
    whole = _with_request(_load_whole())
    return replace(whole, forget_classes=whole.absent_classes, erased_before=[], view_of=whole.hash)


def has_images_to_forget(manifest: Manifest) -> bool:
    """Return whether any split has an image that is to be forgotten."""
    return any(len(manifest.select(split, "forget")) for split in manifest.splits)


def load_samples() -> Manifest:
    """Read the samples only, with nothing to forget; raises InputError when the file is missing or broken.

    Samples of classes that were erased before are left out.
    """
    whole = _load_whole()
    return whole.without(whole.erased_before)


def _with_request(samples: Manifest) -> Manifest:
    chosen = _read(FORGET)
    try:
        split, classes, ids = chosen["split"], chosen["forget_classes"], chosen.get("forget_samples", [])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{FORGET} is no choice of classes ({error}); run `dvc repro --force split`") from None
    if split != samples.hash:
        raise InputError(f"{FORGET} belongs to another split than {MANIFEST}; run `dvc repro --force split`")
    positions = {name: position for position, name in enumerate(samples.splits["train"].ids)} if ids else {}
    unknown = [name for name in ids if name not in positions]
    if unknown:
        raise InputError(
            f"{FORGET} names {unknown[0]!r}, no training image of {MANIFEST}; run `dvc repro --force split`"
        )
    return replace(samples, forget_classes=classes, forget_samples=tuple(positions[name] for name in ids))


def _load_whole() -> Manifest:
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


def _no_sample() -> Split:
    return Split([], np.zeros(0, dtype=np.int64))


def _part_of(split: Split, shown: np.ndarray, of_train: np.ndarray) -> Split:
    """Return the samples of a split at sorted positions; of_train: the positions that the training split keeps."""
    places, lenders = ({int(old): new for new, old in enumerate(kept)} for kept in (shown, of_train))
    borrowed = {places[position]: lenders[lender] for position, lender in split.borrowed.items() if position in places}
    rows = shown if split.rows is None else split.rows[shown]
    return Split([split.ids[position] for position in shown], split.labels[shown], borrowed, rows, split.pixels_of)


def _borrowed(split: dict[str, Any]) -> dict[int, int]:
    return {int(position): lender for position, lender in split.get("borrowed", {}).items()}


def _dump(manifest: Manifest) -> str:
    """One line a field: short enough to look at, and diffs name the field."""
    written = [key for key in vars(manifest) if key not in UNWRITTEN]
    written = [key for key in written if key not in WHERE_KNOWN or getattr(manifest, key) is not None]
    if not manifest.erased_before:
        written.remove("erased_before")
    lines = [f"{json.dumps(key)}: {json.dumps(getattr(manifest, key))}" for key in written]
    splits = [f"{json.dumps(name)}: {_dump_split(split)}" for name, split in manifest.splits.items()]
    return "{" + ",\n".join([*lines, '"splits": {' + ",\n".join(splits) + "}"]) + "}\n"


def _dump_split(split: Split) -> str:
    fields = {"labels": split.labels.tolist(), "ids": split.ids} | (
        {"borrowed": split.borrowed} if split.borrowed else {}
    )
    return "{" + ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items()) + "}"
