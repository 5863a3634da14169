"""Maximum mean discrepancy: how far apart two samples lie as distributions (Gretton et al. 2012, JMLR 13, Eq. 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def mmd(x: Tensor, y: Tensor, taus: Sequence[float]) -> Tensor:
    """Return the unbiased estimate of the squared MMD, a scalar: 0 in the mean where x and y are drawn alike.

    x (n, d) and y (m, d) are L2-normalised; a sample of one has no spread, its term is 0. The kernel is the mean over
    `taus` of exp((x . y - 1) / tau), on the unit sphere the Gaussian exp(-|x - y|^2 / (2 tau)). Unlike Eq. 1 of the EC
    paper it does not draw x to the mean of y, where no y lies, but spreads x as y is spread. It may fall below 0.
    """
    return within(x, taus) + within(y, taus) - 2 * kernel(x, y, taus).mean()


def within(x: Tensor, taus: Sequence[float]) -> Tensor:
    """Return the mean kernel of the pairs of different samples, a scalar; 0 where there is no pair."""
    count = len(x)
    return (kernel(x, x, taus).sum() - count) / max(count * (count - 1), 1)  # the diagonal is 1


def kernel(x: Tensor, y: Tensor, taus: Sequence[float]) -> Tensor:
    """Return (n, m), the mean over taus of exp((x . y - 1) / tau)."""
    similarity = x @ y.T - 1
    return torch.stack([torch.exp(similarity / tau) for tau in taus]).mean(dim=0)
