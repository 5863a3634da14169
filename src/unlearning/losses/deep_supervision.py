"""Deep supervision (EC paper Eq. 3): a loss at every supervision point, weighted by depth."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.models.supervision import Supervision


def weighted_sum(losses: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return sum_l w_l L^l, a scalar."""
    return torch.stack([w * loss for loss, w in zip(losses, weights, strict=True)]).sum()


def cross_entropies(
    points: list[Supervision], labels: Tensor, temperature: float = 1.0, label_smoothing: float = 0.0
) -> list[Tensor]:
    """Return CE(g^l / T, y) at each point; 0 at a point without a head (paper A.3, "w/o layer-wise CE")."""
    return [
        labels.new_zeros((), dtype=torch.float32)
        if point.logits is None
        else F.cross_entropy(point.logits / temperature, labels, label_smoothing=label_smoothing)
        for point in points
    ]
