"""A few plain steps of fine-tuning on a copy, as an attacker makes them: nothing to resume, log or validate."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from unlearning.data.batches import ImageSplit, Plan, shuffled
from unlearning.engine.launch import Launch
from unlearning.metrics.alone.prototype import Head
from unlearning.models.backbone import classifier_of, freeze_batchnorm
from unlearning.params import FineTuning
from unlearning.seeds import derive_seed


def with_head(model: nn.Module, head: Head) -> nn.Module:
    """Return a copy of the model, all of it trainable, with another head."""
    student = copy.deepcopy(model).requires_grad_(True)
    linear = classifier_of(student)
    device = next(student.parameters()).device
    linear.weight = nn.Parameter(head.weight.to(device, copy=True))
    linear.bias = nn.Parameter(head.bias.to(device, copy=True))
    return student


def fine_tune(
    model: nn.Module,
    images: ImageSplit,
    positions: np.ndarray,
    lr: float,
    cfg: FineTuning,
    launch: Launch,
    *seed: int | str,
) -> None:
    """Train the model, in place, on some positions of a split: `cfg.steps` steps of SGD on the cross-entropy.

    BatchNorm keeps its statistics: a handful of images has none worth learning.
    """
    torch.manual_seed(derive_seed(*seed, "dropout"))
    network = launch.in_precision(launch.place(model.train()))
    freeze_batchnorm(model)
    optimizer = torch.optim.SGD(model.parameters(), lr, cfg.momentum)
    for batch in images.batches(steps_over(positions, cfg.batch_size, cfg.steps, *seed), cfg.augment):
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(batch.images), batch.labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), cfg.clip_norm)
        optimizer.step()


def steps_over(positions: np.ndarray, batch_size: int, steps: int, *seed: int | str) -> list[Plan]:
    """Return one batch a step, from as many shuffled passes over the positions as it takes."""
    plans: list[Plan] = []
    while len(plans) < steps:
        plans += shuffled(positions, batch_size, *seed, len(plans))
    return plans[:steps]
