"""DomainNet-126: 126 classes in four domains, each a list file of images with their class; no official split."""

from pathlib import Path

import numpy as np

from unlearning.errors import InputError
from unlearning.params import DownstreamSet
from unlearning.sources.downstream import LabelledImages, class_number, expect_folder, read_pairs

DOMAINS = ("clipart", "painting", "real", "sketch")
HOW = (
    "unpack the four domains of DomainNet (cleaned version) there, and beside them the lists "
    "{clipart,painting,real,sketch}_list.txt of the 126 classes (Saito et al. 2019)"
)


def load(entry: DownstreamSet) -> LabelledImages:
    """Read <domain>_list.txt: a path below the root and a class number a line (UUEF drops the last line; here it is
    kept).

    Raises InputError for an unknown domain or a line that is not of this form.
    """
    if entry.domain not in DOMAINS:
        raise InputError(f"downstream: {entry.name} needs a domain, one of {', '.join(DOMAINS)}, not {entry.domain!r}")
    root = expect_folder(entry, Path(entry.root), HOW)
    path = root / f"{entry.domain}_list.txt"
    pairs = read_pairs(entry, path)
    labels = np.asarray([class_number(entry, label, path) for _, label in pairs], dtype=np.int64)
    return LabelledImages(root, [image for image, _ in pairs], labels, is_train=None)
