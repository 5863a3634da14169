"""Closeness to the retrained model, the gold standard: H-Mean alone rewards going past it.

Direction: lower is better. Range: `retrain_gap` 0..100 percentage points; divergence 0..1 bit. Data: the accuracies,
linear probe, membership inference and k-NN that both models have; predictions on the test forget set. Source: ours.
Expected: retrained 0 and 0, original far from it.
"""

import torch
from torch import Tensor

from unlearning.metrics.alone.blocks import joined

Numbers = dict[str, float]


def retrain_gap(own: Numbers, retrained: Numbers) -> float:
    """Return the mean absolute difference over the numbers that both have, in points; all are percent.

    Raises ValueError when they have none in common.
    """
    common = [key for key in own if key in retrained]
    if not common:
        raise ValueError("no number in common with the retrained model")
    return sum(abs(own[key] - retrained[key]) for key in common) / len(common)


def js_divergence(logits: Tensor, reference: Tensor) -> float:
    """Return the mean Jensen-Shannon divergence of two models' predictions on the same n samples, in bits.

    logits and reference: (n, classes), n >= 1.
    """
    halves = joined(len(logits), lambda rows: _halves(logits[rows], reference[rows]))
    return (halves.mean() / 2 / torch.log(torch.tensor(2.0, dtype=torch.float64))).clamp(min=0).item()


def _halves(logits: Tensor, reference: Tensor) -> Tensor:
    p, q = logits.double().softmax(dim=1), reference.double().softmax(dim=1)
    middle = ((p + q) / 2).clamp(min=torch.finfo(torch.float64).tiny)  # half the smallest number would be 0
    return _relative_entropy(p, middle) + _relative_entropy(q, middle)


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=1)
