"""DELETE, mask distillation: forget images are distilled to the original's outputs with the forgotten class taken out.

Zhou et al., "Decoupled Distillation to Erase", CVPR 2025, official code (`method/delete.py`). The loss is the plain KL
divergence at temperature T on both sides. `mask: own_label` is official: other forget classes keep their mass, so an
image may move from one forget class to another; `all_forget` masks them all. Classes erased before are masked by both.
`alpha` is the probability its own class keeps (official and EC Table 10: 0). Forget images only; the teacher is in eval
mode, the student's BatchNorm trains unless `batchnorm_eval` (official `disable_bn`).
"""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.bounds import Fraction, Temperature
from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.losses.distillation import without_classes
from unlearning.models.backbone import freeze_batchnorm
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    mask: Literal["own_label", "all_forget"]
    alpha: Fraction  # probability
    temperature: Temperature
    batchnorm_eval: bool

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size)


SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield KL(target || student) on the forget images."""
    teacher = run.teacher()
    network = run.optimise(run.model, cfg)
    if cfg.batchnorm_eval:
        freeze_batchnorm(run.model)
    manifest = run.manifest
    absent = manifest.absent_classes if cfg.mask == "all_forget" else manifest.erased_before
    masked = torch.tensor(absent, dtype=torch.int64)
    for forget in run.batches("forget", cfg):
        target = masked_target(teacher(forget.images), forget.labels, masked, cfg.alpha, cfg.temperature)
        log_student = F.log_softmax(network(forget.images) / cfg.temperature, dim=1)
        yield F.kl_div(log_student, target, reduction="batchmean")


def masked_target(logits: Tensor, labels: Tensor, masked: Tensor, alpha: float, temperature: float) -> Tensor:
    """Return probabilities (B, C): alpha for the own label, 0 for `masked`, the rest as the logits (B, C) have it."""
    own = labels[:, None]
    others = without_classes(logits / temperature, masked).scatter(1, own, -torch.inf)
    return ((1 - alpha) * F.softmax(others, dim=1)).scatter(1, own, alpha)
