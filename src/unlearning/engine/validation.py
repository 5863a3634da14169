"""Accuracy on the validation split while training goes on: what hyper-parameters are chosen by."""

import numpy as np
import torch
from torch import nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest, Part
from unlearning.engine.curves import Row

BATCH_SIZE = 512


def validate(model: nn.Module, images: ImageSplit, manifest: Manifest) -> Row:
    """Return accuracies in percent, of the retain and the forget part, or of all where nothing is to be forgotten.

    The model is left in the modes (training or not) it was in.
    """
    parts: tuple[Part, ...] = ("retain", "forget") if manifest.forget_classes else ("all",)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    row = {}
    for part in parts:
        name = "validation_acc" if part == "all" else f"validation_{part}_acc"
        row[name] = accuracy(model, images, manifest.select("validation", part))
    for module, mode in modes.items():
        module.training = mode
    return row


@torch.no_grad()
def accuracy(model: nn.Module, images: ImageSplit, positions: np.ndarray) -> float:
    """Return the percentage of right predictions at some positions of a split, in whatever mode the model is."""
    right = total = 0
    for batch in images.batches(in_order(positions, BATCH_SIZE)):
        right += int((model(batch.images).argmax(dim=1) == batch.labels).sum())
        total += len(batch.labels)
    return 100 * right / max(total, 1)
