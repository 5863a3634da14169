"""EC, Erase at the Core: contrastive unlearning with deep supervision at every stage.

Lee, Kim and Kim, "Erase at the Core" (arXiv 2602.05375), Algorithm 1 and Eq. 1-3; no official code was found. What the
paper leaves open follows CU's official code: one optimiser step per retain batch, gradients into both sides, forget and
retain in one forward pass (`joint_forward`; Algorithm 1 by the letter has two).
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.methods.families.contrast import ContrastConfig, contrast
from unlearning.methods.families.points import EveryPoint, Side, every_point


class Config(ContrastConfig, EveryPoint):
    """CU's parameters and those of deep supervision."""


SEARCH = {"lambda_cu": (0.3, 10.0), "omega": (1, 4)}


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield sum_l w_l (lambda_cu L_CU^l + lambda_ce L_CE^l); backbone, classifier, modules and heads all learn."""
    return contrast(run, cfg, every_point(run, cfg), loss)


def loss(forget: Side, retain: Side, tau: float) -> Tensor:
    """Return L_CU^l (Eq. 1), which asks for no labels."""
    return contrastive_unlearning(forget.embedding, retain.embedding, tau)
