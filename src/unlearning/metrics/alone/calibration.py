"""Expected calibration error: how far confidence and accuracy part.

Direction: lower is better. Range: 0..100 percent. Data: the test retain set (forget images have no right answer any
more). Source: Naeini et al. 2015, Guo et al. 2017: 15 bins of equal width. Expected: original and retrained alike, a
few percent for a network trained with cross-entropy alone.
"""

import torch
from torch import Tensor

BINS = 15


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Return sum over the bins of (share of samples) * |accuracy - mean confidence|, in percent.

    logits (n, classes), labels int64 (n,), n >= 1. A confidence on an edge belongs to the lower bin, as in Guo's code.
    """
    confidence, predictions = logits.double().softmax(dim=1).max(dim=1)
    right = (predictions == labels).double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of, right - confidence)
    return (100 * gaps.abs().sum() / len(labels)).item()
