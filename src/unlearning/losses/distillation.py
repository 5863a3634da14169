"""Distillation from the original model's outputs."""

import torch
from torch import Tensor
from torch.nn import functional as F


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(softmax(teacher/T) || softmax(student/T)), the mean over the batch, >= 0.

    student, teacher: logits (B, C). T^2 keeps the gradient's size when T changes (Hinton et al. 2015). Teacher logits
    may be -inf: such a class has no mass and adds nothing.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, F.softmax(teacher / temperature, dim=1), reduction="batchmean")


def without_classes(logits: Tensor, classes: Tensor) -> Tensor:
    """Return logits (B, C) with those of `classes`, int64 (n,), at -inf: their probability is 0."""
    return logits.index_fill(1, classes.to(logits.device), -torch.inf)
