"""FA, RA, TFA, TRA: how often the forget and retain classes are still recognised.

Direction: forget lower, retain higher. Range: 0..100 percent. Data: all training images (FA, RA) and all test images
(TFA, TRA), without augmentation. Source: EC 4.1. Expected: original high and high, retrained exactly 0 and high. Where
samples are forgotten and not classes, FA is best at the retrained model's, which is about as high as its TRA.
"""

import numpy as np
from torch import Tensor


def split_accuracy(predictions: Tensor, labels: Tensor, forget: Tensor) -> tuple[float | None, float | None]:
    """Return (forget accuracy, retain accuracy) in percent, arg-max over all classes; None for a side without samples.

    predictions and labels: int64 (n,); forget: bool (n,), which are to be forgotten. On the training split these are FA
    and RA, on the test split TFA and TRA.
    """
    return share_right(predictions[forget], labels[forget]), share_right(predictions[~forget], labels[~forget])


def share_right(predictions: Tensor, labels: Tensor) -> float | None:
    """Return the accuracy in percent: predictions and labels int64 (n,); None without samples."""
    return (100 * (predictions == labels).double().mean()).item() if len(labels) else None


def per_class_accuracy(predictions: Tensor, labels: Tensor, classes: int) -> list[float | None]:
    """Return the accuracy of each class in percent; None for a class without samples."""
    counts = np.bincount(labels.numpy(), minlength=classes)
    right = np.bincount(labels[predictions == labels].numpy(), minlength=classes)
    return [100 * float(r) / int(n) if n else None for r, n in zip(right, counts, strict=True)]
