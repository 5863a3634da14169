"""Deep supervision (EC paper Eq. 3): one method's loss at every supervision point, weighted by depth."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.models.supervision import Supervision

FeatureLoss = Callable[[Tensor, Tensor], Tensor]


def deep_supervision(
    forget: list[Supervision],
    retain: list[Supervision],
    retain_labels: Tensor,
    feature_loss: FeatureLoss,
    lambda_feature: float,
    lambda_ce: float,
    weights: list[float],
) -> Tensor:
    """Return sum_l w_l (lambda_feature L^l(z_f^l, z_r^l) + lambda_ce CE(g^l, y_r)), a scalar.

    feature_loss takes the embeddings (B_f, d_l) and (B_r, d_l) of one point. A point without a head has no CE term
    (paper A.3, "w/o layer-wise CE").
    """
    total = torch.zeros((), device=retain_labels.device)
    for z_f, z_r, w in zip(forget, retain, weights, strict=True):
        loss = lambda_feature * feature_loss(z_f.embedding, z_r.embedding)
        if z_r.logits is not None:
            loss = loss + lambda_ce * F.cross_entropy(z_r.logits.float(), retain_labels)
        total = total + w * loss
    return total
