"""Accuracy on the validation split while training goes on: what hyper-parameters are chosen by."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest, Part
from unlearning.engine.curves import Row
from unlearning.engine.launch import Launch

BATCH_SIZE = 512


def validate(model: nn.Module, images: ImageSplit, manifest: Manifest, where: Launch) -> Row:
    """Return accuracies in percent, of the retain and the forget part, or of all where nothing is to be forgotten.

    A part without images is left out. Several processes share the images, and return the same.
    """
    split: dict[str, Part] = {"validation_retain_acc": "retain", "validation_forget_acc": "forget"}
    whole: dict[str, Part] = {"validation_acc": "all"}
    parts = split if manifest.request else whole
    chosen = {name: manifest.select("validation", part) for name, part in parts.items()}
    with eval_mode(model), where.autocast():
        return {name: accuracy(model, images, positions, where) for name, positions in chosen.items() if len(positions)}


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode for a while; each module is left in the mode (training or not) it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def accuracy(model: nn.Module, images: ImageSplit, positions: np.ndarray, where: Launch) -> float:
    """Return the percentage of right predictions at some positions of a split, in whatever mode the model is.

    Several processes share the images; each is looked at once.
    """
    right = 0
    for batch in images.batches(where.dealt(in_order(positions, BATCH_SIZE))):
        right += int((model(batch.images).argmax(dim=1) == batch.labels).sum())
    return 100 * where.total(right) / max(len(positions), 1)
