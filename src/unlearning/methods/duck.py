"""DUCK: each forget feature moves to the nearest retained centroid, retain images keep their labels.

Cotogni et al. (arXiv 2312.02052), official code; objective, phases and every deviation: `families/centroids.py`.
BatchNorm trains; forget and retain images go through the network apart, in the second phase together.
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.methods.families.centroids import CentroidConfig, to_centroids
from unlearning.methods.families.points import final_point


class Config(CentroidConfig):
    """All of it is shared with `duck_ec`."""


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield DUCK's loss on the penultimate feature."""
    return to_centroids(run, cfg, final_point(run))
