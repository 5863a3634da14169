"""Contrastive unlearning at given supervision points: what `cu` and `ec` run."""

from collections.abc import Callable, Iterator

from torch import Tensor

from unlearning.bounds import Companions, Temperature, Weight
from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.losses.deep_supervision import cross_entropies, weighted_sum
from unlearning.methods.families.points import Points, Side, sides
from unlearning.models.supervision import forward_pair
from unlearning.params import UnlearnRecipe

ContrastiveLoss = Callable[[Side, Side, float], Tensor]  # of the forget side, the retain side and tau


class ContrastConfig(UnlearnRecipe):
    tau: Temperature
    omega: Companions  # retain batches per forget batch, one optimiser step each
    lambda_cu: Weight
    lambda_ce: Weight
    joint_forward: bool

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size) * self.omega


def contrast(run: Run, cfg: ContrastConfig, points: Points, loss: ContrastiveLoss) -> Iterator[Tensor]:
    """Yield sum_l w_l (lambda_cu L_CU^l + lambda_ce CE^l(retain))."""
    network = run.optimise(points.network, cfg)
    for forget, retain in run.pairs(cfg, cfg.omega):
        z_f, z_r = forward_pair(network, forget.images, retain.images, cfg.joint_forward)
        pairs = zip(sides(run, forget, z_f), sides(run, retain, z_r), strict=True)
        cu = weighted_sum([loss(side_f, side_r, cfg.tau) for side_f, side_r in pairs], points.weights)
        ce = weighted_sum(cross_entropies(z_r, retain.labels), points.weights)
        yield cfg.lambda_cu * cu + cfg.lambda_ce * ce
