"""EC, Erase at the Core: contrastive unlearning with deep supervision at every stage.

Lee, Kim and Kim, "Erase at the Core" (arXiv 2602.05375), Algorithm 1 and Eq. 1-3; no official code was found. What the
paper leaves open follows CU's official code: one optimiser step per retain batch, gradients into both sides, forget and
retain in one forward pass (`joint_forward`; Algorithm 1 by the letter has two).
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor

from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.losses.deep_supervision import deep_supervision
from unlearning.models.supervision import SupervisedNetwork, forward_pair
from unlearning.models.taps import check_layers, stages
from unlearning.params import Count, NonNegative, Positive, UnlearnRecipe


class Config(UnlearnRecipe):
    tau: Positive
    omega: Count  # retain batches per forget batch, one optimiser step each
    lambda_cu: NonNegative
    lambda_ce: NonNegative
    layer_weights: Annotated[list[NonNegative], Field(min_length=1)]  # w, one per supervision point, in depth order
    joint_forward: bool
    modules: bool  # off: pool the raw stage features (paper 4.3, "w/o EC modules")
    layer_ce: bool  # off: cross-entropy at the final classifier only (paper 4.3 and A.3)
    extra_points: list[str]  # further layers, pooled without a module (paper 4.3, "+ final backbone blocks")


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield sum_l w_l (lambda_cu L_CU^l + lambda_ce L_CE^l); backbone, classifier, modules and heads all learn."""
    supervised = supervise(run, cfg)
    network = run.optimise(supervised, cfg)
    loss = partial(contrastive_unlearning, tau=cfg.tau)
    for forget, retain in run.pairs(cfg, cfg.omega):
        z_f, z_r = forward_pair(network, forget.images, retain.images, cfg.joint_forward)
        z_f, z_r = run.gather_features(z_f), run.gather_features(z_r)
        yield deep_supervision(z_f, z_r, retain.labels, loss, cfg.lambda_cu, cfg.lambda_ce, cfg.layer_weights)


def supervise(run: Run, cfg: Config) -> SupervisedNetwork:
    """Return the model with its supervision points; raises InputError when the number of weights does not match."""
    points = [stage.module for stage in stages(run.model)[:-1]]
    points += check_layers(run.model, cfg.extra_points, f"{run.name}.extra_points")
    network = SupervisedNetwork(run.model, points, run.modules if cfg.modules else None, heads=cfg.layer_ce)
    if len(cfg.layer_weights) != len(network.names):
        raise InputError(
            f"{run.name}.layer_weights: {len(cfg.layer_weights)} weights for {len(network.names)} supervision points "
            f"({', '.join(network.names)}); give one each"
        )
    return network
