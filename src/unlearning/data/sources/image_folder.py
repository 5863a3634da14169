"""The user's own images: root/train/<class>/* and root/test/<class>/*, or one tree root/<class>/*."""

from pathlib import Path

import numpy as np

from unlearning.data.images import EXTENSIONS, image_files
from unlearning.data.sources import Samples, Source
from unlearning.errors import InputError
from unlearning.params import Data


def load(data: Data) -> Source:
    """List the files of each class, sorted by name; nothing is decoded here.

    Raises InputError for a missing root, an empty class folder, or test classes that are not the training classes.
    """
    return read_tree(Path(data.root), "data.root")


def read_tree(root: Path, key: str) -> Source:
    """Do what `load` does for any root; `key` says in messages where it was given."""
    if not root.is_dir():
        raise InputError(f"{key}: no folder {root}; expected {root}/train/<class>/* or {root}/<class>/*")
    train = root / "train" if (root / "train").is_dir() else root
    test = next((root / name for name in ("test", "val") if train != root and (root / name).is_dir()), None)
    classes = _class_names(train)
    if test is not None and _class_names(test) != classes:
        different = sorted(set(classes) ^ set(_class_names(test)))
        raise InputError(f"{train} and {test} should have the same class folders, but differ in {', '.join(different)}")
    return Source(classes, _samples(train, classes, root), _samples(test, classes, root) if test else None)


def _class_names(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise InputError(f"{folder} has no class folders; expected {folder}/<class>/*.png (or jpg, jpeg, webp)")
    return names


def _samples(folder: Path, classes: list[str], root: Path) -> Samples:
    files = [_image_files(folder / name) for name in classes]
    paths = [path for of_class in files for path in of_class]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(of_class) for of_class in files])
    return Samples([str(path.relative_to(root)) for path in paths], labels, pixels=None, paths=paths)


def _image_files(folder: Path) -> list[Path]:
    files = image_files(folder)
    if not files:
        raise InputError(f"the class folder {folder} holds no image ({', '.join(EXTENSIONS)}); fill or remove it")
    return files
