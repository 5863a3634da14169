"""Linear centred kernel alignment: how alike two models' features of the same images are.

Direction: lower is read as deeper forgetting; but collapsed features reach 0 too (see collapse.py). Range: 0..100
percent (`debiased` may fall a little below 0). Data: pooled features of the test forget set. Source: Kornblith et al.
2019; EC B.6 (full set), UUEF (`minibatch`), Song et al. 2012 and Nguyen et al. 2021 (`debiased`). Expected: to the
original, original 100 and retrained well below (86.2 in the paper's Table 1).
"""

from collections.abc import Callable

import torch
from torch import Tensor

BATCH = 512  # images, of `minibatch` (UUEF)


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return linear CKA in percent: ||Yc'Xc||^2 / (||Xc'Xc|| ||Yc'Yc||), Frobenius norms, biased HSIC.

    x (n, d1) and y (n, d2): features of the same n samples under two models. Unchanged by rotation and scale. The
    product in feature space or in sample space is used, whichever is smaller; both in float64. 0 where one model maps
    all samples to one point. Raises ValueError for fewer than two samples or unequal numbers.
    """
    x, y = _centred(*_checked(x, y, LEAST["full"]))
    if max(x.shape[1], y.shape[1]) > len(x):
        gram_x, gram_y = x @ x.T, y @ y.T
        return _ratio((gram_x * gram_y).sum(), gram_x.norm(), gram_y.norm())
    return _ratio((y.T @ x).square().sum(), (x.T @ x).norm(), (y.T @ y).norm())


def minibatch_cka(x: Tensor, y: Tensor, batch_size: int = BATCH) -> float:
    """Return the mean of `linear_cka` over batches in the given order, in percent, as UUEF computes it.

    Higher than the full set's where a batch has fewer samples than dimensions. A last batch of one sample is left out.
    """
    x, y = _checked(x, y, LEAST["minibatch"])
    pairs = zip(x.split(batch_size), y.split(batch_size), strict=True)
    values = [linear_cka(part_x, part_y) for part_x, part_y in pairs if len(part_x) > 1]
    return sum(values) / len(values)


def debiased_cka(x: Tensor, y: Tensor) -> float:
    """Return CKA of unbiased HSIC estimates (Song et al. 2012), in percent: near 0 for independent features at any n.

    Raises ValueError for fewer than four samples or unequal numbers.
    """
    x, y = _centred(*_checked(x, y, LEAST["debiased"]))
    return _ratio(_unbiased_hsic(x, y), _unbiased_norm(x), _unbiased_norm(y))


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "full": linear_cka,
    "minibatch": minibatch_cka,
    "debiased": debiased_cka,
}
LEAST = {"full": 2, "minibatch": 2, "debiased": 4}  # samples that each needs


def cka_or_none(estimator: str, x: Tensor, y: Tensor) -> float | None:
    """Return CKA by one estimator, in percent; None for fewer samples than it needs."""
    return ESTIMATORS[estimator](x, y) if min(len(x), len(y)) >= LEAST[estimator] else None


def _unbiased_hsic(x: Tensor, y: Tensor) -> Tensor:
    """Return HSIC_1 times n (n - 3) for the kernels xx' and yy' without their diagonals; n x n is never formed."""
    n = len(x)
    diagonal_x, diagonal_y = x.square().sum(dim=1), y.square().sum(dim=1)
    rows_x, rows_y = x @ x.sum(dim=0) - diagonal_x, y @ y.sum(dim=0) - diagonal_y
    trace = (x.T @ y).square().sum() - diagonal_x @ diagonal_y
    return trace + rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2)) - 2 * (rows_x @ rows_y) / (n - 2)


def _unbiased_norm(x: Tensor) -> Tensor:
    """Return the square root of a model's own HSIC, 0 where that is 0 but for rounding or below."""
    own = _unbiased_hsic(x, x)
    rounding = 1e-12 * x.square().sum().square()
    return torch.where(own > rounding, own, torch.zeros_like(own)).sqrt()


def _ratio(shared: Tensor, norm_x: Tensor, norm_y: Tensor) -> float:
    return 0.0 if norm_x == 0 or norm_y == 0 else (100 * shared / (norm_x * norm_y)).item()


def _checked(x: Tensor, y: Tensor, least: int) -> tuple[Tensor, Tensor]:
    if len(x) != len(y) or len(x) < least:
        raise ValueError(f"CKA needs features of the same {least} or more samples twice, not {len(x)} and {len(y)}")
    return x, y


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x, y = x.to(torch.float64), y.to(torch.float64)
    return _without_rounding(x - x.mean(dim=0), x), _without_rounding(y - y.mean(dim=0), y)


def _without_rounding(centred: Tensor, features: Tensor) -> Tensor:
    """Return exact zeros where all samples are equal up to float32: their differences are rounding, not structure."""
    constant = centred.abs().amax(dim=0) <= torch.finfo(torch.float32).eps * features.abs().amax(dim=0)
    return centred.masked_fill(constant, 0.0)
