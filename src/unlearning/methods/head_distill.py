"""Control: only the classifier is distilled to the original's outputs with the forget logits masked.

Not a method to use. The backbone, BatchNorm included, is bit-identical to the original's, so every feature still knows
the classes (cka 100, idi 1) while all accuracies are perfect: a score that does not expose this row is worthless.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from unlearning.bounds import Temperature
from unlearning.engine.run import Run
from unlearning.losses.distillation import distillation, without_classes
from unlearning.models.backbone import classifier_of, freeze
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    temperature: Temperature


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield T^2 KL(masked original || student) on all training images."""
    teacher = run.teacher()
    absent = torch.tensor(run.manifest.absent_classes)
    classifier_of(freeze(run.model)).requires_grad_(True)
    network = run.optimise(run.model, cfg)
    run.model.eval()
    for batch in run.batches("all", cfg):
        target = without_classes(teacher(batch.images), absent)
        yield distillation(network(batch.images), target, cfg.temperature)
