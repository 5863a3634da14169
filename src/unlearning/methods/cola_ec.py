"""COLA (+EC): both of COLA's phases at every supervision point (EC paper, Table 3).

The paper does not say how the two are joined. Here the collapse is SupCon on the pooled output of each EC module, and
the alignment is cross-entropy at every head; weights, heads and modules are EC's.
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.methods.families.collapse_align import CollapseAlignConfig, collapse_and_align
from unlearning.methods.families.points import EveryPoint, every_point


class Config(CollapseAlignConfig, EveryPoint):
    """COLA's parameters and those of deep supervision."""


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield COLA's losses at every supervision point."""
    return collapse_and_align(run, cfg, every_point(run, cfg))
