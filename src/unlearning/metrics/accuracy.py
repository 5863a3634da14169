"""FA, RA, TFA, TRA: how often the forget and retain classes are still recognised.

Direction: forget lower, retain higher. Range: 0..100 percent. Data: all training images (FA, RA) and all test images
(TFA, TRA), without augmentation. Source: EC 4.1. Expected: original high and high, retrained exactly 0 and high.
"""

import numpy as np
import torch
from torch import Tensor


def split_accuracy(predictions: Tensor, labels: Tensor, forget_classes: list[int]) -> tuple[float, float]:
    """Return (forget accuracy, retain accuracy) in percent, arg-max over all classes.

    predictions and labels: int64 (n,). On the training split these are FA and RA, on the test split TFA and TRA.
    Raises ValueError when one side is empty.
    """
    right = predictions == labels
    forget = torch.isin(labels, torch.tensor(forget_classes))
    if not forget.any() or forget.all():
        raise ValueError("accuracy needs at least one forget and one retain sample")
    return (100 * right[forget].double().mean()).item(), (100 * right[~forget].double().mean()).item()


def per_class_accuracy(predictions: Tensor, labels: Tensor, classes: int) -> list[float | None]:
    """Return the accuracy of each class in percent; None for a class without samples."""
    counts = np.bincount(labels.numpy(), minlength=classes)
    right = np.bincount(labels[predictions == labels].numpy(), minlength=classes)
    return [100 * float(r) / int(n) if n else None for r, n in zip(right, counts, strict=True)]
