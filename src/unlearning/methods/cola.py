"""COLA, collapse and align: SupCon of the encoder on the retain set, then cross-entropy. No forget image is used.

Jeon et al., AAAI 2026 (arXiv 2405.17878); both phases and what was chosen for want of official code:
`families/collapse_align.py`. BatchNorm trains.
"""

from collections.abc import Iterator

from torch import Tensor

from unlearning.engine.run import Run
from unlearning.methods.families.collapse_align import CollapseAlignConfig, collapse_and_align
from unlearning.methods.families.points import final_point


class Config(CollapseAlignConfig):
    """All of it is shared with `cola_ec`."""


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield COLA's losses on the penultimate feature and the classifier."""
    return collapse_and_align(run, cfg, final_point(run))
