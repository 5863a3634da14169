"""CIFAR-10 by torchvision, downloaded when absent: 50,000 training and 10,000 test images."""

from pathlib import Path

import numpy as np
import torch

from unlearning.params import DownstreamSet
from unlearning.sources.cifar10 import read_cifar
from unlearning.sources.downstream import LabelledImages


def load(entry: DownstreamSet) -> LabelledImages:
    """Read both parts; raises InputError that says which file to put where when there is no network."""
    parts = read_cifar(Path(entry.root), f"root of {entry.name} in downstream")
    labels = np.concatenate([part.labels for part in parts])
    pixels = torch.cat([part.pixels for part in parts if part.pixels is not None])
    is_train = np.arange(len(labels)) < len(parts[0].labels)
    return LabelledImages(
        Path(entry.root), [f"{number:05d}" for number in range(len(labels))], labels, is_train, pixels
    )
