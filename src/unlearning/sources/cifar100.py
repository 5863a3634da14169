"""CIFAR-100 by torchvision: 50,000 training and 10,000 test images of 32x32 in 100 classes."""

from torchvision.datasets import CIFAR100

from unlearning.params import Data
from unlearning.sources import Source, cifar10


def load(data: Data) -> Source:
    """Load like CIFAR-10; the two share format and reader."""
    return cifar10.load(data, kind=CIFAR100)
