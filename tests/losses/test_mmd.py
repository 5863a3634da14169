import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.losses.mmd import mmd

TAUS = [0.05, 0.2, 0.8]


def unit(count: int, seed: int, shift: float = 0.0) -> Tensor:
    values = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values + shift, dim=1)


def pair_sum(x: Tensor, y: Tensor) -> float:
    """The definition, pair by pair, with the Gaussian of the distance instead of the product."""

    def k(a: Tensor, b: Tensor) -> float:
        return sum(math.exp(-float((a - b).square().sum()) / (2 * tau)) for tau in TAUS) / len(TAUS)

    def within(z: Tensor) -> float:
        pairs = [k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
        return sum(pairs) / len(pairs)

    across = [k(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(across) / len(across)


def test_equals_the_pair_sum() -> None:
    x, y = unit(5, 0), unit(7, 1, shift=0.5)
    assert mmd(x, y, TAUS).item() == pytest.approx(pair_sum(x, y), rel=1e-12)


def test_is_unbiased_where_both_are_drawn_alike_and_positive_where_not() -> None:
    alike = torch.stack([mmd(unit(8, 2 * seed), unit(12, 2 * seed + 1), TAUS) for seed in range(400)])
    assert abs(alike.mean()) < 3 * alike.std() / math.sqrt(len(alike))
    assert alike.min() < 0 < alike.max()
    assert mmd(unit(200, 0), unit(200, 1, shift=0.5), TAUS) > 0.02


def test_a_collapse_to_the_mean_is_far_from_what_it_is_the_mean_of() -> None:
    y = unit(100, 0, shift=1.0)
    mean = F.normalize(y.mean(dim=0, keepdim=True), dim=1).expand(50, -1)
    assert mmd(mean, y, TAUS) > 10 * mmd(unit(50, 1, shift=1.0), y, TAUS).abs()


def test_its_gradient_spreads_as_the_other_sample_is_spread() -> None:
    y, free = unit(64, 0), torch.nn.Parameter(unit(64, 1, shift=2.0))
    optimiser = torch.optim.Adam([free], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        mmd(F.normalize(free, dim=1), y, TAUS).backward()
        optimiser.step()
    moved = F.normalize(free.detach(), dim=1)
    torch.testing.assert_close(moved.mean(dim=0), y.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(moved.T), torch.cov(y.T), atol=0.05, rtol=0)


def test_one_sample_alone_is_drawn_to_the_others_and_nothing_is_infinite() -> None:
    one, others = unit(1, 0).requires_grad_(), unit(9, 1)
    mmd(one, others, TAUS).backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()
