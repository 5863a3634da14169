"""Any labelled images: root/train/<class>/* and root/test/<class>/*, or one tree root/<class>/* without a split."""

from pathlib import Path

import numpy as np

from unlearning.params import DownstreamSet
from unlearning.sources.downstream import LabelledImages, expect_folder
from unlearning.sources.image_folder import read_tree

HOW = "it should hold train/<class>/* and test/<class>/*, or <class>/*"


def load(entry: DownstreamSet) -> LabelledImages:
    """List the files; nothing is decoded here."""
    return class_tree(entry, Path(entry.root))


def class_tree(entry: DownstreamSet, folder: Path) -> LabelledImages:
    """Return the images of a folder with a folder a class, with its split where it has one.

    Without a test folder the validation folder is the test split: nothing is chosen on it here.
    """
    source = read_tree(expect_folder(entry, folder, HOW), f"root of {entry.name} in downstream")
    test = source.test or source.validation
    parts = [source.train] if test is None else [source.train, test]
    labels = np.concatenate([part.labels for part in parts])
    is_train = None if test is None else np.arange(len(labels)) < len(source.train.labels)
    return LabelledImages(folder, [name for part in parts for name in part.ids], labels, is_train)
