"""Training towards the original model's best retained class: what `pl` runs, and `unsc` within a null space."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.engine.run import Run
from unlearning.losses.distillation import without_classes
from unlearning.params import UnlearnRecipe


def towards_pseudo_labels(run: Run, cfg: UnlearnRecipe, network: nn.Module, teacher: nn.Module) -> Iterator[Tensor]:
    """Yield CE(forget, pseudo-label), the label taken from the view that the student sees."""
    absent = torch.tensor(run.manifest.absent_classes)
    for forget in run.batches("forget", cfg):
        yield F.cross_entropy(network(forget.images), pseudo_labels(teacher, forget.images, absent))


def pseudo_labels(teacher: nn.Module, images: Tensor, absent: Tensor) -> Tensor:
    """Return the class with the largest logit among those that are kept, int64 (B,)."""
    return without_classes(teacher(images), absent).argmax(dim=1)
