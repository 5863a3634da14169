"""LiRA, the likelihood-ratio attack, offline: is the model surer of an image than models that never saw it are?

Direction: 50 is best. Range: 0..100 percent, AUC with a 95 % interval. Data: the true class's scaled logit of forget
images, training against test, under the model and under shadow models each trained on half of the training images.
Source: Carlini et al. 2022, offline variant with one variance for all samples, as they advise for few shadow models.
Expected: original above 50, retrained 50. Off by default: `lira.shadows: []`.
"""

import math

import torch
from torch import Tensor

from unlearning.metrics.alone.roc import AUC, auc_and_variance, interval


def scaled_logit(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log(p_y / (1 - p_y)), float64 (n,): logits (n, classes), labels int64 (n,)."""
    logits = logits.double()
    own = logits.gather(1, labels[:, None])[:, 0]
    rest = logits.scatter(1, labels[:, None], -math.inf).logsumexp(dim=1)
    return own - rest


def lira_scores(target: Tensor, shadows: Tensor, out: Tensor) -> Tensor:
    """Return how many deviations the target is surer than the shadow models that did not see the sample: float64 (n,).

    The likelihood ratio's P(Z < score), Z standard normal, ranks alike, but is 1 for everything far out.

    target (n,): scaled logits; shadows (S, n): the same under each shadow model; out (S, n): True where the shadow
    model was trained without the sample. Raises ValueError for a sample that every shadow model saw.
    """
    seen_by = out.sum(dim=0)
    if (seen_by == 0).any():
        raise ValueError("LiRA needs, for each sample, a shadow model trained without it")
    values = torch.where(out, shadows, torch.zeros_like(shadows))
    mean = values.sum(dim=0) / seen_by
    deviations = torch.where(out, shadows - mean, torch.zeros_like(shadows)).square().sum()
    freedom = int((seen_by - 1).sum())
    std = (deviations / max(freedom, 1)).sqrt().clamp(min=torch.finfo(torch.float64).eps)
    return (target - mean) / std


def lira_auc(scores: Tensor, is_member: Tensor) -> AUC:
    """Return how well the scores tell members from others: scores (n,), is_member bool (n,), two or more of each."""
    return interval(*auc_and_variance(scores[is_member].numpy(), scores[~is_member].numpy()))
