"""CU, contrastive unlearning on one layer: the penultimate feature.

Zhang et al., "Contrastive Unlearning", IJCAI 2025 (arXiv 2401.10458), in the form of the EC paper (3.1, Eq. 1-2,
Table 10). Deviations from the official code: the L2-normalised penultimate feature instead of a 128-d projection (EC
3.1); a forgotten class has no retained sample, so the loss is its linear form (`losses/contrastive_unlearning.py`);
retain batches go through the whole retain set, not always the same first ones.
"""

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.losses.deep_supervision import deep_supervision
from unlearning.models.supervision import SupervisedNetwork, forward_pair
from unlearning.params import Count, NonNegative, Positive, UnlearnRecipe


class Config(UnlearnRecipe):
    tau: Positive
    omega: Count  # retain batches per forget batch, one optimiser step each
    lambda_cu: NonNegative
    lambda_ce: NonNegative
    joint_forward: bool


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield lambda_cu L_CU(z_f, z_r) + lambda_ce CE(retain) at the final layer."""
    network = run.optimise(SupervisedNetwork(run.model, points=[]), cfg)
    loss = partial(contrastive_unlearning, tau=cfg.tau)
    for forget, retain in run.pairs(cfg, cfg.omega):
        z_f, z_r = forward_pair(network, forget.images, retain.images, cfg.joint_forward)
        z_f, z_r = run.gather_features(z_f), run.gather_features(z_r)
        yield deep_supervision(z_f, z_r, retain.labels, loss, cfg.lambda_cu, cfg.lambda_ce, weights=[1.0])
