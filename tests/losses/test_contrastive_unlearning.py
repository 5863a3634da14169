import math

import pytest
import torch
from torch.nn import functional as F

from unlearning.losses.contrastive_unlearning import contrastive_unlearning, contrastive_unlearning_by_label


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


def mixed_labels() -> torch.Tensor:
    """Anchors with some, one, no and only positives among six retain samples, as (4, 6) bool."""
    forget, retain = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1, 3, 3, 0])
    return torch.cat([forget[:, None] == retain, torch.ones(1, 6, dtype=torch.bool)])


def label_sum(z_forget: torch.Tensor, z_retain: torch.Tensor, same_label: torch.Tensor, tau: float) -> float:
    """The formula with labels, anchor by anchor and pair by pair; an empty denominator is 1."""
    total = 0.0
    for i, anchor in enumerate(z_forget.tolist()):
        s = [sum(a * b for a, b in zip(anchor, other, strict=True)) / tau for other in z_retain.tolist()]
        denominator = sum(math.exp(s[p]) for p in range(len(s)) if same_label[i, p]) or 1.0
        negatives = [n for n in range(len(s)) if not same_label[i, n]]
        pulled = sum(s[n] for n in negatives) / len(negatives) if negatives else 0.0
        total += pulled - math.log(denominator)
    return -total / len(z_forget)


@pytest.mark.parametrize("tau", [0.07, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_any_positive_the_form_with_labels_is_the_plain_one_exactly(tau: float, dtype: torch.dtype) -> None:
    z_f, z_r = unit(5, 7, 0).to(dtype).requires_grad_(), unit(3, 7, 1).to(dtype).requires_grad_()
    apart = contrastive_unlearning_by_label(z_f, z_r, torch.zeros(5, 3, dtype=torch.bool), tau)
    plain = contrastive_unlearning(z_f, z_r, tau)
    assert torch.equal(apart, plain)
    gradients = [torch.autograd.grad(loss, [z_f, z_r]) for loss in (apart, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("tau", [0.07, 0.7])
def test_equals_the_formula_with_labels(tau: float) -> None:
    z_f, z_r, same = unit(4, 5, 2), unit(6, 5, 3), mixed_labels()
    assert same.any(dim=1).tolist() == [True, True, False, True]
    assert same.all(dim=1).tolist() == [False, False, False, True]
    actual = contrastive_unlearning_by_label(z_f, z_r, same, tau).item()
    assert actual == pytest.approx(label_sum(z_f, z_r, same, tau), rel=1e-12)


@pytest.mark.parametrize("anchor", range(4))
def test_equals_the_formula_for_each_kind_of_anchor_alone(anchor: int) -> None:
    z_f, z_r, same = unit(4, 5, 2)[[anchor]], unit(6, 5, 3), mixed_labels()[[anchor]]
    actual = contrastive_unlearning_by_label(z_f, z_r, same, 0.2).item()
    assert actual == pytest.approx(label_sum(z_f, z_r, same, 0.2), rel=1e-12)


def test_gradient_with_labels_equals_that_of_the_formula() -> None:
    z_f, z_r, same = unit(4, 5, 4).requires_grad_(), unit(6, 5, 5).requires_grad_(), mixed_labels()
    terms = []
    for i in range(4):
        s = z_r @ z_f[i] / 0.1
        pulled = s[~same[i]].mean() if not same[i].all() else s.sum() * 0
        terms.append(pulled - (s[same[i]].exp().sum().log() if same[i].any() else 0.0))
    expected = torch.autograd.grad(-torch.stack(terms).mean(), [z_f, z_r])
    actual = torch.autograd.grad(contrastive_unlearning_by_label(z_f, z_r, same, 0.1), [z_f, z_r])
    for a, e in zip(actual, expected, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, e, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_large_similarities_with_labels_do_not_overflow(sign: float) -> None:
    tau, one = 1e-3, unit(1, 5, 6).float()
    z_f, z_r = one.repeat(4, 1).requires_grad_(), (sign * one).repeat(6, 1).requires_grad_()
    loss = contrastive_unlearning_by_label(z_f, z_r, mixed_labels(), tau)
    pulled = [1, 1, 1, 0]
    pushed = [1 + sign * tau * math.log(3), 1, 0, 1 + sign * tau * math.log(6)]  # 3, 1, 0 and 6 positives
    expected = -sum(a - b for a, b in zip(pulled, pushed, strict=True)) / 4 * sign / tau
    assert loss.item() == pytest.approx(expected, abs=1e-3)
    gradients = torch.autograd.grad(loss, [z_f, z_r])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all(gradient.abs().max() > 1 for gradient in gradients)


def test_an_anchor_is_drawn_to_negatives_and_driven_from_positives() -> None:
    z_f = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    z_r = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    loss = contrastive_unlearning_by_label(z_f, z_r, torch.tensor([[False, True]]), 0.5)
    [step] = [-gradient for gradient in torch.autograd.grad(loss, [z_f])]
    assert step[0].tolist() == pytest.approx([0.0, 2.0, -2.0])
