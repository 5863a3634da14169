"""Mutual information between a layer's features and "is it a forget sample": what its estimators share.

Direction: none by itself. Range: 0 nats to H(Y), log 2 for balanced samples. Data: equally many training images of
forget and retain classes. Source: Jeon et al. (arXiv 2405.17878); van den Oord et al. (arXiv 1807.03748) for the bound.
Expected: original high, retrained lower. Estimators: cross_fitted.py (default) and info_nce.py (the paper's).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class Estimate:
    """Lower bounds of I(Z; Y) in nats, of one layer of one model."""

    held_out: float  # on samples the critic was not fitted on
    train: float  # of the same critic on the samples it was fitted on: far above held_out where it memorises


def info_nce(scores: Tensor, labels: Tensor) -> Tensor:
    """Return mean_i log( exp(s_i,y_i) / (1/K sum_j exp(s_i,y_j)) ) in nats, a scalar.

    scores (K, 2): s_iy = f(z_i) . g(y); labels (K,) in {0, 1}. As y takes two values the inner mean is
    p_0 exp(s_i0) + p_1 exp(s_i1) with p the batch's label frequencies: O(K), and the bound is H(p) minus the
    cross-entropy of a logistic classifier, hence at most H(p) <= log 2.
    """
    frequencies = torch.bincount(labels, minlength=2) / len(labels)
    own = scores.gather(1, labels[:, None])[:, 0]
    return (own - torch.logsumexp(scores + frequencies.log(), dim=1)).mean()


def information_of(log_odds: Tensor, labels: Tensor) -> float:
    """Return H(Y) minus the cross-entropy of predictions in nats: the bound above for s_i1 - s_i0 + log p_1 / p_0.

    log_odds (n,): of label 1 for each sample, any real number; labels (n,) in {0, 1}.
    """
    signs = 2 * labels.double() - 1
    return label_entropy(labels) - float(softplus(-signs * log_odds.double()).mean())


def label_entropy(labels: Tensor) -> float:
    """Return H(Y) in nats, the largest value the bound can take."""
    frequencies = torch.bincount(labels, minlength=2).double() / len(labels)
    return -sum(p * math.log(p) for p in frequencies.tolist() if p > 0)
