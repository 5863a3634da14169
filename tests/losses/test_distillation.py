import math

import pytest
import torch
from torch.nn import functional as F

from unlearning.losses.distillation import distillation, without_classes

INF = float("inf")


def logits(count: int, classes: int, seed: int, size: float = 2.0) -> torch.Tensor:
    return size * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def plain(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """T^2 KL(teacher || student), sample by sample and class by class; a class without mass adds nothing."""
    total = 0.0
    for s_row, t_row in zip(student.tolist(), teacher.tolist(), strict=True):
        s, t = softmax(s_row, temperature), softmax(t_row, temperature)
        total += sum(p * math.log(p / q) for p, q in zip(t, s, strict=True) if p > 0)
    return temperature**2 * total / len(student)


def gradient(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    student = student.clone().requires_grad_()
    distillation(student, teacher, temperature).backward()
    assert student.grad is not None
    return student.grad


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (5, 6), (8, 3)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_equals_the_formula(count: int, classes: int, temperature: float) -> None:
    student, teacher = logits(count, classes, 0), logits(count, classes, 1)
    expected = plain(student, teacher, temperature)
    assert distillation(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-10)


def test_temperature_is_one_unless_said() -> None:
    student, teacher = logits(4, 5, 0), logits(4, 5, 1)
    assert distillation(student, teacher).item() == pytest.approx(plain(student, teacher, 1.0), rel=1e-10)


def test_is_the_divergence_from_the_teacher_not_from_the_student() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -INF]])
    assert distillation(student, teacher).item() == pytest.approx(math.log(2))
    assert distillation(teacher, student).item() == INF


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_equal_logits_cost_nothing_and_give_no_gradient(temperature: float) -> None:
    both = logits(4, 6, 0)
    shifted = both + torch.arange(4)[:, None]
    for student in (both, shifted):
        assert distillation(student, both, temperature).item() == pytest.approx(0, abs=1e-12)
        torch.testing.assert_close(gradient(student, both, temperature), torch.zeros_like(both), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "temperature"), [(0.01, 1.0), (0.01, 100.0), (1.0, 100.0), (1.0, 1000.0)])
def test_gradient_of_small_logits_is_their_difference_over_the_classes_at_any_temperature(
    size: float, temperature: float
) -> None:
    student, teacher = logits(3, 5, 0, size), logits(3, 5, 1, size)
    student, teacher = (values - values.mean(dim=1, keepdim=True) for values in (student, teacher))
    expected = (student - teacher) / (3 * 5)
    actual = gradient(student, teacher, temperature)
    assert (actual - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_classes_the_teacher_lost_add_nothing_but_the_student_unlearns_them(temperature: float) -> None:
    student, teacher = logits(4, 6, 0), without_classes(logits(4, 6, 1), torch.tensor([1, 4]))
    expected = plain(student, teacher, temperature)
    assert distillation(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-10)
    pull = gradient(student, teacher, temperature)
    assert pull.isfinite().all()
    expected_pull = temperature * F.softmax(student / temperature, dim=1)[:, [1, 4]] / 4
    torch.testing.assert_close(pull[:, [1, 4]], expected_pull)


def test_without_classes_takes_all_mass_of_these_and_keeps_the_proportions_of_the_others() -> None:
    before = logits(5, 6, 0)
    untouched = before.clone()
    after = F.softmax(without_classes(before, torch.tensor([4, 1])), dim=1)
    assert (after[:, [1, 4]] == 0).all()
    kept = F.softmax(before, dim=1)[:, [0, 2, 3, 5]]
    torch.testing.assert_close(after[:, [0, 2, 3, 5]], kept / kept.sum(dim=1, keepdim=True))
    assert torch.equal(before, untouched)


def test_without_no_class_is_the_same() -> None:
    before = logits(2, 3, 0)
    assert torch.equal(without_classes(before, torch.tensor([], dtype=torch.int64)), before)
