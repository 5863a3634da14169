"""BatchNorm recalibration: take the batch statistics anew on unlabelled images of all classes, without any gradient.

Direction: lower is deeper. Range: 0..100 percent. Data: training images of forgotten and retained classes as they
come; asked on the test images. Source: statistics re-estimated as in Li et al. 2016 (AdaBN, arXiv 1603.04779); as an
attack on forgetting ours. Expected: original keeps its accuracy, retrained stays at 0, and so does every model whose
head no longer answers the classes, whatever its features know. A model without BatchNorm is what it was.
"""

import copy

import torch
from torch import nn

from unlearning.data.batches import shuffled
from unlearning.evaluation.attacks import Outcome, Target
from unlearning.models.backbone import freeze
from unlearning.params import Attacks, BatchNormAttack


def after_recalibration(victim: Target, attacks: Attacks, cfg: BatchNormAttack) -> Outcome:
    """Return the outcome under batch statistics of `cfg.batches` batches of training images."""
    student = freeze(copy.deepcopy(victim.model))
    recalibrate(student, victim, attacks.seed, cfg)
    return victim.outcome(student)


@torch.no_grad()
def recalibrate(model: nn.Module, victim: Target, seed: int, cfg: BatchNormAttack) -> None:
    """Replace the running statistics, in place, by their means over the batches."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's sign for an equal mean over all batches
        layer.train()
    plans = shuffled(victim.manifest.select("train"), cfg.batch_size, seed, "batchnorm")[: cfg.batches]
    network = victim.launch.in_precision(victim.launch.place(model))
    for batch in victim.train.batches(plans if layers else []):
        network(batch.images)
