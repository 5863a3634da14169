import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss
from torch.nn import functional as F

from unlearning.losses.supcon import supcon


def unit(count: int, dimension: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=1)


def plain(z: torch.Tensor, labels: list[int], tau: float) -> float:
    """The formula, anchor by anchor; an anchor without positives counts 0."""
    s = (z @ z.T / tau).tolist()
    total = 0.0
    for i, own in enumerate(labels):
        others = [a for a in range(len(labels)) if a != i]
        positives = [p for p in others if labels[p] == own]
        denominator = sum(math.exp(s[i][a]) for a in others)
        if positives:
            total -= sum(math.log(math.exp(s[i][p]) / denominator) for p in positives) / len(positives)
    return total / len(labels)


CASES = [[0, 0, 1, 1], [0, 0, 0, 1, 1, 2], [0, 1, 2, 3], [5, 5, 5]]


@pytest.mark.parametrize("labels", CASES)
@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_equals_the_formula(labels: list[int], tau: float) -> None:
    z = unit(len(labels), 6)
    assert supcon(z, torch.tensor(labels), tau).item() == pytest.approx(plain(z, labels, tau), rel=1e-5, abs=1e-9)


# The oracle returns 0 where all samples share one label; the test against the formula covers that case.
@pytest.mark.parametrize("labels", [case for case in CASES if 1 < len(set(case)) < len(case)])
def test_equals_pytorch_metric_learning(labels: list[int]) -> None:
    z, targets = unit(len(labels), 8).float(), torch.tensor(labels)
    has_positive = torch.tensor([labels.count(label) > 1 for label in labels])
    oracle = SupConLoss(temperature=0.1)(z, targets)  # averages over the anchors that have positives
    expected = oracle * has_positive.float().mean()
    torch.testing.assert_close(supcon(z, targets, 0.1), expected, rtol=1e-4, atol=1e-5)


def test_no_positive_at_all_is_zero_with_zero_gradient() -> None:
    z = unit(4, 3).requires_grad_()
    loss = supcon(z, torch.arange(4), 0.07)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_identical_embeddings_give_log_of_the_number_of_others() -> None:
    z = unit(1, 4).expand(5, 4)
    assert supcon(z, torch.zeros(5), 0.07).item() == pytest.approx(math.log(4), rel=1e-6)


def test_is_finite_where_exponentials_overflow() -> None:
    assert supcon(unit(6, 3).float(), torch.tensor([0, 0, 1, 1, 2, 2]), 0.001).isfinite()
