"""CU, contrastive unlearning on one layer: the penultimate feature.

Zhang et al., "Contrastive Unlearning", IJCAI 2025 (arXiv 2401.10458), in the form of the EC paper (3.1, Eq. 1-2,
Table 10). Deviations from the official code: the L2-normalised penultimate feature instead of a 128-d projection (EC
3.1); the weight of the denominator is the formula's (`losses/contrastive_unlearning.py`), which matters only where
retain samples share the label of a forget sample: never when whole classes are erased; retain batches go through the
whole retain set, not always the same first ones.
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.losses.contrastive_unlearning import contrastive_unlearning_by_label
from unlearning.methods.families.contrast import ContrastConfig, contrast
from unlearning.methods.families.points import Side, final_point


class Config(ContrastConfig):
    """All of it is shared with `ec`."""


SEARCH = {"lambda_cu": (0.3, 10.0), "omega": (1, 4)}
SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield lambda_cu L_CU(z_f, z_r) + lambda_ce CE(retain) at the final layer."""
    return contrast(run, cfg, final_point(run), loss)


def loss(forget: Side, retain: Side, tau: float) -> Tensor:
    """Return L_CU, with retain samples of a forget sample's own label in its denominator, if there are any."""
    same_label = forget.labels[:, None] == retain.labels[None, :]
    return contrastive_unlearning_by_label(forget.embedding, retain.embedding, same_label, tau)
