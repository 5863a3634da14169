"""OPC, one-point contraction: the outputs of forget images shrink towards one point, the origin.

Jung et al. 2025 (arXiv 2507.07754); no code is public. Loss: CE(retain) + lambda_opc times the mean L2 norm of the
forget images' logits (as its equation has it) or of their penultimate features (as its text has it). A small logit
norm means high entropy; a CKA near 0 follows from the contraction alone. Forget and retain images go through the
network together, and BatchNorm trains; the retain batches per forget batch are ours.
"""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from unlearning.bounds import Companions, Weight
from unlearning.counts import Counts
from unlearning.engine.run import Run
from unlearning.models.supervision import SupervisedNetwork, forward_pair
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    norm: Literal["logits", "features"]  # of what
    lambda_opc: Weight
    omega: Companions  # retain batches per forget batch, one optimiser step each

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size) * self.omega


SEARCH = {"lambda_opc": (0.03, 3.0)}


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield CE(retain) + lambda_opc mean ||m(forget)||."""
    network = run.optimise(SupervisedNetwork(run.model, points=[]), cfg)
    for forget, retain in run.pairs(cfg, cfg.omega):
        [z_f], [z_r] = forward_pair(network, forget.images, retain.images, joint=True)
        contracted = {"logits": z_f.head_logits(), "features": z_f.feature}[cfg.norm]
        yield F.cross_entropy(z_r.head_logits(), retain.labels) + cfg.lambda_opc * mean_norm(contracted)


def mean_norm(vectors: Tensor) -> Tensor:
    """Return the mean L2 norm of the rows of (B, d), >= 0."""
    return vectors.norm(dim=1).mean()
