"""DUCK (+EC): DUCK's loss at every supervision point, each with centroids and targets of its own (EC paper, Table 3).

The paper does not say how the two are joined. Here EC's contrastive term is replaced by DUCK's distance, on the pooled
output of each EC module as it was pre-trained; weights, heads and modules are EC's.
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.methods.families.centroids import CentroidConfig, to_centroids
from unlearning.methods.families.points import EveryPoint, every_point


class Config(CentroidConfig, EveryPoint):
    """DUCK's parameters and those of deep supervision."""


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield DUCK's loss at every supervision point."""
    return to_centroids(run, cfg, every_point(run, cfg))
