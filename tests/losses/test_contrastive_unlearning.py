import math

import pytest
import torch
from torch.nn import functional as F

from unlearning.losses.contrastive_unlearning import contrastive_unlearning


def unit(count: int, dimension: int, seed: int) -> torch.Tensor:
    values = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=1)


def pair_sum(z_forget: torch.Tensor, z_retain: torch.Tensor, tau: float) -> float:
    """Eq. 1, pair by pair."""
    total = 0.0
    for z_i in z_forget.tolist():
        for z_j in z_retain.tolist():
            total += math.log(math.exp(sum(a * b for a, b in zip(z_i, z_j, strict=True)) / tau))
    return -total / (len(z_forget) * len(z_retain))


@pytest.mark.parametrize(("forget", "retain", "dimension"), [(1, 1, 2), (3, 5, 4), (7, 2, 16)])
@pytest.mark.parametrize("tau", [0.07, 0.7])
def test_equals_the_pair_sum(forget: int, retain: int, dimension: int, tau: float) -> None:
    z_f, z_r = unit(forget, dimension, 0), unit(retain, dimension, 1)
    assert contrastive_unlearning(z_f, z_r, tau).item() == pytest.approx(pair_sum(z_f, z_r, tau), rel=1e-12)


def test_gradient_equals_that_of_the_pair_sum() -> None:
    z_f, z_r = unit(4, 6, 2).requires_grad_(), unit(5, 6, 3).requires_grad_()
    pairs = -(z_f @ z_r.T / 0.07).exp().log().mean()
    expected = torch.autograd.grad(pairs, [z_f, z_r])
    actual = torch.autograd.grad(contrastive_unlearning(z_f, z_r, 0.07), [z_f, z_r])
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e)


def test_lies_within_one_over_tau() -> None:
    z = unit(1, 8, 4)
    assert contrastive_unlearning(z, z, 0.07).item() == pytest.approx(-1 / 0.07)
    assert contrastive_unlearning(z, -z, 0.07).item() == pytest.approx(1 / 0.07)


def test_does_not_depend_on_the_order_of_samples() -> None:
    z_f, z_r = unit(6, 5, 5), unit(4, 5, 6)
    shuffled = contrastive_unlearning(z_f[torch.randperm(6)], z_r[torch.randperm(4)], 0.1)
    torch.testing.assert_close(shuffled, contrastive_unlearning(z_f, z_r, 0.1))
