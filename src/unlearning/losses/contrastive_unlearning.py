"""Contrastive unlearning (EC paper Eq. 1; Zhang et al. 2025, arXiv 2401.10458)."""

import torch
from torch import Tensor


def contrastive_unlearning(z_forget: Tensor, z_retain: Tensor, tau: float) -> Tensor:
    """Pull forget embeddings towards the retain embeddings: L_CU, a scalar in [-1/tau, 1/tau].

    z_forget (B_f, d) and z_retain (B_r, d) are L2-normalised; tau > 0 is the temperature. Both receive gradient, as in
    the official code.

    Eq. 1 averages log exp(z_i . z_j / tau) over all pairs. The logarithm cancels the exponential, so the mean over
    pairs is the product of the two means: O(B d) instead of O(B_f B_r d), and nothing can overflow.
    """
    return -(z_forget.mean(dim=0) @ z_retain.mean(dim=0)) / tau


def contrastive_unlearning_by_label(z_forget: Tensor, z_retain: Tensor, same_label: Tensor, tau: float) -> Tensor:
    """Pull forget embeddings towards retain samples of other classes, away from those of their own: a scalar.

    -mean_i 1/|N_i| sum_{n in N_i} [ s_in - log sum_{p in P_i} exp(s_ip) ], s = z.z/tau, where P_i are the retain
    samples with the label of forget sample i and N_i the others; same_label, bool (B_f, B_r), says which.

    Without any positive, as when whole classes are erased, this is `contrastive_unlearning`; an anchor without
    positives among others has the denominator 1 (official code, task `single_class`). One without negatives has a first
    term of 0. The denominator has weight 1, as in the formula; the official code gives it |B_r| / |N_i|.
    """
    if not same_label.any():
        return contrastive_unlearning(z_forget, z_retain, tau)
    similarity = z_forget @ z_retain.T / tau
    negatives = (~same_label).float()
    to_others = (similarity * negatives).sum(dim=1) / negatives.sum(dim=1).clamp(min=1)
    has_positive = same_label.any(dim=1)
    # Anchors without positives take the logarithm of exp(0): masking afterwards would leave NaN in the gradient.
    own = torch.where(has_positive[:, None], similarity.masked_fill(~same_label, -torch.inf), 0.0)
    denominator = torch.where(has_positive, own.logsumexp(dim=1), 0.0)
    return -(to_others - denominator).mean()
