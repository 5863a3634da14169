"""Head recovery: the linear head that turns a model's features back into the *original* model's logits.

Direction: lower is deeper. Range: 0..100 percent. Data: features of training images under the model and the original's
logits for them, no labels; asked on the test forget set. Source: Jung et al. 2025 (OPC, arXiv 2507.07754), head
recovery by linear least squares. Expected: original its own forget accuracy, retrained well below; `head_distill`,
whose features are the original's, gives everything back.
"""

import torch
from torch import Tensor

from unlearning.metrics.alone.accuracy import share_right
from unlearning.metrics.alone.blocks import joined, mean_of_samples, summed
from unlearning.symmetric import pinv

CUT = 1e-10  # of the largest eigenvalue: directions below it are rounding


def recovered_head(features: Tensor, logits: Tensor) -> Tensor:
    """Return the (d + 1, classes) matrix [W; b] that minimises ||features W + b - logits||, W of least norm, float64.

    features (n, d), logits (n, classes): of the same samples. The features' unit does not matter.
    """
    middle, answer = mean_of_samples(features), mean_of_samples(logits)

    def centred(rows: slice) -> Tensor:
        return features[rows].double() - middle

    products = summed(len(features), lambda rows: centred(rows).T @ centred(rows))
    with_answers = summed(len(features), lambda rows: centred(rows).T @ (logits[rows].double() - answer))
    weight = pinv(products, rtol=CUT) @ with_answers
    return torch.cat([weight, (answer - middle @ weight)[None]])


def recovered_accuracy(head: Tensor, features: Tensor, labels: Tensor) -> float | None:
    """Return the accuracy of a recovered head in percent: features (m, d), labels int64 (m,); None without samples."""
    said = joined(len(features), lambda rows: (features[rows].double() @ head[:-1] + head[-1]).argmax(dim=1))
    return share_right(said, labels)
