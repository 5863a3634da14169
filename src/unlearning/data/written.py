"""The manifest and the forget set as their files hold them: what may stand in them, and what fits together."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from unlearning.read_back import Count, Hash, Origin, Written, read_sealed

SPLITS = ("train", "validation", "test")
MANIFEST, FORGET = Origin("a manifest", "split"), Origin("a choice of what to forget", "split")
MAY_LEAD_OUT = frozenset("\\:\0")
LARGEST = 1 << 32  # bytes: 14 million samples (ImageNet-21k) take 1 GB


class WrittenSplit(Written):
    """One split; borrowed: {position: position in the training split}, of samples that the latter keeps."""

    labels: list[Count]
    ids: list[str]
    borrowed: dict[str, Count] = {}

    @model_validator(mode="after")
    def _one_label_and_one_name_each(self) -> "WrittenSplit":
        if len(self.labels) != len(self.ids):
            raise ValueError(f"{len(self.ids)} ids, but {len(self.labels)} labels")
        if len(set(self.ids)) < len(self.ids):
            raise ValueError(f"the id {_twice(self.ids)!a} stands twice")
        return self


class WrittenManifest(Written):
    """data/split/manifest.json."""

    source: str
    classes: Annotated[list[str], Field(min_length=1)]
    image_size: Annotated[int, Field(ge=1, le=1 << 20)]
    channels: Annotated[int, Field(ge=1, le=1 << 10)]
    mean: list[float]
    std: list[Annotated[float, Field(gt=0)]]
    root: str | None
    content: str
    splits: dict[str, WrittenSplit]
    eval_resize: Annotated[list[Annotated[int, Field(ge=1, le=1 << 20)]], Field(max_length=2)]
    erased_before: list[Count] = []
    value_range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    told_by: Literal["times", "content"] | None = None
    pixels: dict[str, Hash]  # SHA-256 of the file of pixels of each split; none where images are read from `root`
    seal: Hash

    @model_validator(mode="after")
    def _fits_together(self) -> "WrittenManifest":
        if sorted(self.splits) != sorted(SPLITS):
            raise ValueError(f"splits: {', '.join(SPLITS)} were expected, not {', '.join(self.splits)!a}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: {_twice(self.classes)!a} stands twice")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std: {self.channels} numbers each were expected, one a channel")
        classes_known(self.erased_before, "erased_before", self.classes)
        self._refuse_unknown_labels()
        self._refuse_foreign_loans()
        self._refuse_other_places()
        expected = sorted(SPLITS) if self.root is None else []
        if sorted(self.pixels) != expected:
            raise ValueError(f"pixels: a hash of {', '.join(expected) or 'no split'} was expected")
        return self

    def _refuse_unknown_labels(self) -> None:
        for name, split in self.splits.items():
            if split.labels and max(split.labels) >= len(self.classes):
                raise ValueError(
                    f"splits.{name}.labels: {max(split.labels)} is no class; there are {len(self.classes)}, from 0"
                )

    def _refuse_foreign_loans(self) -> None:
        """Refuse a borrowed sample that is not the one of the training split that it is said to be."""
        train = self.splits["train"]
        for name, split in self.splits.items():
            for position, lender in split.borrowed.items():
                place = int(position) if position.isascii() and position.isdigit() and len(position) < 20 else -1
                if not 0 <= place < len(split.ids) or lender >= len(train.ids) or name == "train":
                    raise ValueError(f"splits.{name}.borrowed: there is no sample {position!a} or {lender}")
                if (split.ids[place], split.labels[place]) != (train.ids[lender], train.labels[lender]):
                    raise ValueError(f"splits.{name}.borrowed: sample {position} is not training sample {lender}")

    def _refuse_other_places(self) -> None:
        """Refuse paths that lead out of `root`, and a path in two splits. Other ids are names within their split."""
        seen: dict[str, str] = {}
        for name, split in self.splits.items():
            loans = {int(position) for position in split.borrowed}
            for place, one in enumerate(split.ids):
                if self.root is not None and not inside(one):
                    raise ValueError(f"splits.{name}.ids: {one!a} is no path below {self.root!a}")
                if "/" in one and place not in loans and seen.setdefault(one, name) != name:
                    raise ValueError(f"splits.{name}.ids: {one!a} is a {seen[one]} sample too")


class WrittenForget(Written):
    """data/forget.json."""

    split: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    forget_classes: list[Count]
    names: list[str]
    forget_samples: list[str] = []
    seal: Hash

    @model_validator(mode="after")
    def _one_kind_of_request(self) -> "WrittenForget":
        if bool(self.forget_classes) == bool(self.forget_samples):
            raise ValueError("either classes or samples to forget were expected")
        if len(set(self.forget_samples)) < len(self.forget_samples):
            raise ValueError(f"forget_samples: {_twice(self.forget_samples)!a} stands twice")
        return self

    def fits(self, classes: list[str], erased_before: list[int]) -> str | None:
        """Return what does not fit the class list and earlier requests; None where all does."""
        try:
            classes_known(self.forget_classes, "forget_classes", classes)
        except ValueError as error:
            return str(error)
        if self.names != [classes[label] for label in self.forget_classes]:
            return "names: they are not those of forget_classes"
        if set(self.forget_classes) & set(erased_before):
            return "forget_classes: one of them was erased before"
        if len(self.forget_classes) + len(erased_before) >= len(classes):
            return "forget_classes: no class would be left"
        return None


def read_manifest(path: Path) -> WrittenManifest:
    """Return what data/split/manifest.json holds; raises InputError for anything that `split` would not write."""
    return read_sealed(path, WrittenManifest, MANIFEST, LARGEST)


def read_forget(path: Path) -> WrittenForget:
    """Return what data/forget.json holds; raises InputError for anything that `split` would not write."""
    return read_sealed(path, WrittenForget, FORGET, LARGEST)


def classes_known(labels: list[int], key: str, classes: list[str]) -> None:
    """Raise ValueError for a class that is not in the list, or stands twice."""
    unknown = [label for label in labels if label >= len(classes)]
    if unknown:
        raise ValueError(f"{key}: {unknown[0]} is no class; there are {len(classes)}, from 0")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{key}: {_twice(labels)} stands twice")


def inside(name: str) -> bool:
    """Return whether a path stays below the folder that it is relative to."""
    if ".." not in name and not name.startswith("/") and MAY_LEAD_OUT.isdisjoint(name):
        return bool(name.strip())  # a million names need not be taken apart
    parts = (PurePosixPath(name), PureWindowsPath(name))
    leads_out = any(path.is_absolute() or path.drive or ".." in path.parts for path in parts)
    return bool(name.strip()) and not leads_out and "\0" not in name


def _twice(values: list[str] | list[int]) -> str | int:
    seen: set[str | int] = set()
    return next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
