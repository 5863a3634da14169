"""Head recovery: the linear head that turns a model's features back into the *original* model's logits.

Direction: lower is deeper. Range: 0..100 percent. Data: features of training images under the model and the original's
logits for them, no labels; asked on the test forget set. Source: Jung et al. 2025 (OPC, arXiv 2507.07754), head
recovery by linear least squares. Expected: original its own forget accuracy, retrained well below; `head_distill`,
whose features are the original's, gives everything back.
"""

import torch
from torch import Tensor

from unlearning.metrics.alone.accuracy import share_right

CUT = 1e-10  # of the largest eigenvalue: directions below it are rounding


def recovered_head(features: Tensor, logits: Tensor) -> Tensor:
    """Return the (d + 1, classes) matrix [W; b] that minimises ||features W + b - logits||, W of least norm, float64.

    features (n, d), logits (n, classes): of the same samples. The features' unit does not matter.
    """
    inputs, outputs = features.double(), logits.double()
    middle, answer = inputs.mean(dim=0), outputs.mean(dim=0)
    centred = inputs - middle
    inverse = torch.linalg.pinv(centred.T @ centred, rtol=CUT, hermitian=True)
    weight = inverse @ (centred.T @ (outputs - answer))
    return torch.cat([weight, (answer - middle @ weight)[None]])


def recovered_accuracy(head: Tensor, features: Tensor, labels: Tensor) -> float | None:
    """Return the accuracy of a recovered head in percent: features (m, d), labels int64 (m,); None without samples."""
    return share_right((features.double() @ head[:-1] + head[-1]).argmax(dim=1), labels)
