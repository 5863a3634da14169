"""CIFAR-10 by torchvision: 50,000 training and 10,000 test images of 32x32."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from unlearning.errors import InputError
from unlearning.params import Data
from unlearning.sources import Samples, Source


def load(data: Data, kind: type[CIFAR10] = CIFAR10) -> Source:
    """Load from data.root, downloading when absent; `kind` is torchvision's class.

    Raises InputError that says which file to put where when there is no network.
    """
    train, test = (_read(kind, Path(data.root), train, "data.root") for train in (True, False))
    return Source(list(train.classes), _samples(train), _samples(test))


def read_cifar(root: Path, key: str) -> tuple[Samples, Samples]:
    """Return training and test images of CIFAR-10; `key` says in messages where the root was given."""
    return _samples(_read(CIFAR10, root, True, key)), _samples(_read(CIFAR10, root, False, key))


def _read(kind: type[CIFAR10], root: Path, train: bool, key: str) -> CIFAR10:
    try:
        return kind(root, train=train)
    except RuntimeError:  # torchvision's "not found or corrupted"
        pass
    try:
        return kind(root, train=train, download=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{kind.__name__} is not in {root} ({key}) and could not be downloaded ({error}); "
            f"put the file {kind.filename} into {root} and run again"
        ) from None


def _samples(dataset: CIFAR10) -> Samples:
    ids = [f"{number:05d}" for number in range(len(dataset.data))]
    pixels = torch.from_numpy(dataset.data).permute(0, 3, 1, 2)
    return Samples(ids, np.asarray(dataset.targets, dtype=np.int64), pixels)
