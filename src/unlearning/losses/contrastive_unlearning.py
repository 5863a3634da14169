"""Contrastive unlearning (paper Eq. 1; Zhang et al. 2025, arXiv 2401.10458)."""

from torch import Tensor


def contrastive_unlearning(z_forget: Tensor, z_retain: Tensor, tau: float) -> Tensor:
    """Pull forget embeddings towards the retain embeddings: L_CU, a scalar in [-1/tau, 1/tau].

    z_forget (B_f, d) and z_retain (B_r, d) are L2-normalised; tau > 0 is the temperature. Both receive gradient, as in
    the official code.

    Eq. 1 averages log exp(z_i . z_j / tau) over all pairs. The logarithm cancels the exponential, so the mean over
    pairs is the product of the two means: O(B d) instead of O(B_f B_r d), and nothing can overflow.
    """
    return -(z_forget.mean(dim=0) @ z_retain.mean(dim=0)) / tau
