"""CUB-200-2011: 11,788 birds of 200 species; official training and test images (UUEF: `split: random`)."""

from pathlib import Path

import numpy as np

from unlearning.errors import InputError
from unlearning.params import DownstreamSet
from unlearning.sources.downstream import LabelledImages, class_number, expect_folder, read_pairs

LABELS = "image_class_labels.txt"
HOW = "unpack CUB_200_2011.tgz of its authors (Caltech) and give the folder CUB_200_2011 as root"


def load(entry: DownstreamSet) -> LabelledImages:
    """Read images.txt, image_class_labels.txt and train_test_split.txt, joined by the number each line begins with.

    In order of the paths, as UUEF reads them.
    """
    root = Path(entry.root)
    expect_folder(entry, root / "images", HOW)
    names, labels, is_train = (
        dict(read_pairs(entry, root / name)) for name in ("images.txt", LABELS, "train_test_split.txt")
    )
    incomplete = [number for number in names if number not in labels or number not in is_train]
    if incomplete:
        raise InputError(
            f"downstream: {entry.name}: image {incomplete[0]} of {root}/images.txt has no label or no split"
        )
    numbers = sorted(names, key=lambda number: names[number])
    return LabelledImages(
        root / "images",
        [names[number] for number in numbers],
        np.asarray([class_number(entry, labels[number], root / LABELS) - 1 for number in numbers], dtype=np.int64),
        np.asarray([is_train[number] == "1" for number in numbers]),
    )
