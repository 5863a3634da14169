"""Linear centred kernel alignment (Kornblith et al. 2019): how alike two models' features of the same images are."""

import torch
from torch import Tensor


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return linear CKA in percent: ||Yc'Xc||^2 / (||Xc'Xc|| ||Yc'Yc||), Frobenius norms, biased HSIC.

    x (n, d1) and y (n, d2): features of the same n samples under two models. 100 = equal up to rotation and scale,
    0 = nothing in common. The product in feature space or in sample space is used, whichever is smaller; both in
    float64. Expected to the original: original 100, retrained well below (86.2 in the paper's Table 1). Lower is read
    as deeper forgetting; collapsed features reach 0 too. Raises ValueError for fewer than two samples, unequal
    numbers, or constant features.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"CKA needs the same two or more samples twice, not {len(x)} and {len(y)}")
    x, y = _centred(x), _centred(y)
    if max(x.shape[1], y.shape[1]) > len(x):
        gram_x, gram_y = x @ x.T, y @ y.T
        shared, own_x, own_y = (gram_x * gram_y).sum(), gram_x.norm(), gram_y.norm()
    else:
        shared, own_x, own_y = (y.T @ x).square().sum(), (x.T @ x).norm(), (y.T @ y).norm()
    if own_x == 0 or own_y == 0:
        raise ValueError("CKA is undefined for constant features: the model maps all samples to one point")
    return (100 * shared / (own_x * own_y)).item()


def _centred(features: Tensor) -> Tensor:
    features = features.to(torch.float64)
    return features - features.mean(dim=0)
