"""The user's own images: a folder a class in root/train, root/val and root/test, or one tree root/<class>/*."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from unlearning.data.class_names import look
from unlearning.data.image_files import (
    EXTENSIONS,
    Found,
    files_below,
    folders_in,
    is_image,
    looks_like_an_image,
    printable,
    refuse_broken,
    refuse_lost_folders,
)
from unlearning.errors import InputError
from unlearning.params import Data
from unlearning.sources import Source, samples_of

SPLIT_NAMES = {  # in small letters, without "set" behind them: Test, test_set and Testset are all the test split
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


def load(data: Data) -> Source:
    """List the files of each class, sorted by name; nothing is decoded here.

    A class folder may be empty, and those of the other splits may be missing: their owner can have deleted the images.
    Raises InputError for a missing root, one that can be read two ways, a class folder with files but no image, or
    classes of another split that are no training classes.
    """
    return read_tree(Path(data.root), "data.root")


def read_tree(root: Path, key: str) -> Source:
    """Do what `load` does for any root; `key` says in messages where it was given."""
    if not root.is_dir():
        raise InputError(f"{key}: no folder {root}; expected {root}/train/<class>/* or {root}/<class>/*")
    refuse_lost_folders(root, key)
    folders = _split_folders(root, key)
    for folder in folders.values():
        refuse_lost_folders(folder, key)
    classes = _class_names(folders["train"])
    for folder in folders.values():
        _refuse_other_classes(folder, classes, folders["train"])
        _refuse_splits_within([folder / name for name in classes], root, key)
    files = {split: _files_by_class(folder, classes) for split, folder in folders.items()}
    found = [of_class for of_classes in files.values() for of_class in of_classes]
    refuse_broken([bad for of_class in found for bad in of_class.bad], key)
    samples = {split: samples_of([one.images for one in of_classes], root) for split, of_classes in files.items()}
    others = [path for of_class in found for path in of_class.others]
    return Source(
        classes,
        samples["train"],
        samples.get("test"),
        samples.get("validation"),
        folders["train"].relative_to(root),
        [*_splits_note(folders), *_folders_note(root, folders), *_files_notes(others, {root, *folders.values()})],
    )


def _split_folders(root: Path, key: str) -> dict[str, Path]:
    """Return the folder of each split that has one; a tree without the names of splits is all training split."""
    below = folders_in(root)
    found = {split: [folder for folder in below if _split(folder) == split] for split in SPLIT_NAMES}
    if not any(found.values()):
        return {"train": root}
    for split, folders in found.items():
        if len(folders) > 1:
            names = " or ".join(folder.name for folder in folders)
            raise InputError(f"{key}: the {split} split of {root} can be {names}; keep one, or move both into one")
    _refuse_classes_beside(
        found, [folder for folder in below if not _split(folder) and files_below(folder).images], root, key
    )
    return {split: folders[0] for split, folders in found.items() if folders}


def _refuse_classes_beside(found: dict[str, list[Path]], others: list[Path], root: Path, key: str) -> None:
    """Refuse a tree whose folders can be splits as well as classes."""
    splits = _names(folder for folders in found.values() for folder in folders)
    if others:
        raise InputError(
            f"{key}: {root} can be read two ways: {splits} as split and {_names(others)} left out, or all as classes; "
            f"for the first move {_names(others)} away, or rename to val or test; "
            f"for the second put all below {root}/train"
        )
    if not found["train"]:
        raise InputError(
            f"{key}: {root} can be read two ways: {splits} as split without a training split, or as classes; "
            f"for the first add {root}/train/<class>/*; for the second put all below {root}/train"
        )


def _refuse_splits_within(class_folders: list[Path], root: Path, key: str) -> None:
    """Refuse classes that are split themselves: read as one tree, their test images would be trained on."""
    for folder in class_folders:
        splits = [path for path in folders_in(folder) if _split(path)]
        if len({_split(path) for path in splits}) > 1:
            raise InputError(
                f"{key}: {folder} can be read two ways: as a class, or as a set with the splits {_names(splits)}; "
                f"for a class move them to {root}/<split>/{folder.name}, for a set make {folder} the root"
            )


def _split(folder: Path) -> str | None:
    """Return which split a folder's name means, if one."""
    name = re.sub("[ _-]?set$", "", folder.name.strip().lower())
    return next((split for split, names in SPLIT_NAMES.items() if name in names), None)


def _class_names(folder: Path) -> list[str]:
    names = [path.name for path in folders_in(folder)]
    if not names:
        raise InputError(f"{folder} has no class folders; expected {folder}/<class>/*.png (or jpg, jpeg, webp, ...)")
    return names


def _refuse_other_classes(folder: Path, classes: list[str], train: Path) -> None:
    """Refuse a split with classes that the training split has not; it may lack some."""
    there = set(_class_names(folder))
    different = sorted(set(classes) ^ there)
    if there - set(classes):
        looks = Counter(map(look, different))
        shown = ", ".join(ascii(name) if looks[look(name)] > 1 else name for name in different)
        raise InputError(f"{train} and {folder} should have the same class folders, but differ in {shown}")


def _files_by_class(folder: Path, classes: list[str]) -> list[Found]:
    """Return what lies in the folder of each class."""
    files = [files_below(folder / name) if (folder / name).is_dir() else Found() for name in classes]
    for name, of_class in zip(classes, files, strict=True):
        if of_class.others and not of_class.images and not of_class.bad:
            expected, others = ", ".join(EXTENSIONS), _by_suffix(of_class.others)
            raise InputError(
                f"the class folder {folder / name} holds no image ({expected}) but {others}; fill, empty or remove it"
            )
    return files


def _splits_note(folders: dict[str, Path]) -> list[str]:
    if "validation" not in folders:
        return []
    train, validation = folders["train"].name, folders["validation"].name
    note = f"validation split: the folder {validation}; no data.validation_fraction is cut from {train}"
    return [note if "test" in folders else f"{note}; no test folder: data.test_fraction of {train} is the test split"]


def _folders_note(root: Path, folders: dict[str, Path]) -> list[str]:
    if folders["train"] == root:
        return []
    left_out = [folder for folder in folders_in(root) if folder not in folders.values()]
    return [f"not read: the folder(s) {_names(left_out)}, without images"] if left_out else []


def _files_notes(others: list[Path], roots: set[Path]) -> list[str]:
    """Say how many files were not read: those in the class folders that are no images, and all images beside them."""
    unread = [path for path in others if looks_like_an_image(path)]
    beside = [path for root in roots for path in root.glob("[!.]*") if path.is_file() and _is_or_looks_like(path)]
    parts = [
        _by_suffix(path for path in others if not looks_like_an_image(path)),
        f"{_by_suffix(beside)} outside the class folders" if beside else "",
    ]
    rest = [f"not read: {', '.join(filter(None, parts))}"] if any(parts) else []
    return [*_unread_note(unread), *rest]


def _unread_note(unread: list[Path]) -> list[str]:
    if not unread:
        return []
    return [
        f"images not read, of other formats: {_by_suffix(unread)}, such as {printable(min(unread))}; to use them, "
        f"convert them to one of {', '.join(EXTENSIONS)}"
    ]


def _is_or_looks_like(path: Path) -> bool:
    return is_image(path) or looks_like_an_image(path)


def _by_suffix(paths: Iterable[Path]) -> str:
    counts = Counter(printable(path.suffix.lower()) or "without suffix" for path in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def _names(folders: Iterable[Path], most: int = 5) -> str:
    names = [folder.name for folder in folders]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
