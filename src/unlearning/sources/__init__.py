"""Where images come from: one file a source, `load(data) -> Source`; the file's name is the value of `data.name`."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from unlearning.data.below import Below
from unlearning.errors import InputError, did_you_mean
from unlearning.params import Data


@dataclass(frozen=True)
class Samples:
    """Labelled images of one split, in a fixed order: pixels in memory or files."""

    ids: list[str]  # a name per sample, unique in the split; for files the path below `root`
    labels: np.ndarray  # int64 (N,)
    pixels: Tensor | None  # uint8 (N, C, H, W), or None where the images are files
    root: Path | None = None  # the folder that the files lie in; None where the pixels are in memory

    @property
    def files(self) -> Sequence[Path]:
        """The files, in order; none where the pixels are in memory."""
        return [] if self.root is None else Below(self.root, self.ids)


def samples_of(files: list[list[Path]], root: Path) -> Samples:
    """Return the samples of all classes, one class after the other: the files of each, which lie below the root."""
    start = str(root / "_")[:-1]  # cut off: of a million paths `relative_to` takes ten seconds
    ids = [str(path).removeprefix(start) for of_class in files for path in of_class]
    labels = np.repeat(np.arange(len(files), dtype=np.int64), [len(of_class) for of_class in files])
    return Samples(ids, labels, pixels=None, root=root)


@dataclass(frozen=True)
class Source:
    classes: list[str]
    train: Samples
    test: Samples | None  # None: `data.test_fraction` of the training samples become the test split
    validation: Samples | None = None  # None: `data.validation_fraction` of the training samples become it
    folder: Path | None = None  # below data.root, holds the training classes' folders; None where there are none
    notes: list[str] = field(default_factory=list)  # what was found and is not used, for the user
    eight_bits: bool = False  # whether its files are known to be images of 8 bits: they are not opened one by one


def load_source(data: Data) -> Source:
    """Load the source named `data.name`; raises InputError for an unknown name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if data.name not in names:
        raise InputError(f"data.name: {data.name!r} is none of {', '.join(names)}{did_you_mean(data.name, names)}")
    source: Source = importlib.import_module(f"{__name__}.{data.name}").load(data)
    return source
