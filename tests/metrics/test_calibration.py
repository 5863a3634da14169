import math

import pytest
import torch

from unlearning.metrics.alone.calibration import BINS, expected_calibration_error


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


def looped(logits: list[list[float]], labels: list[int], bins: int) -> float:
    """Guo et al.: over the bins (low, high], the share of samples times |accuracy - mean confidence|."""
    judged = []
    for row, label in zip(logits, labels, strict=True):
        weights = [math.exp(value - max(row)) for value in row]
        judged.append((max(weights) / sum(weights), float(row.index(max(row)) == label)))
    total = 0.0
    for low in range(bins):
        inside = [(sure, right) for sure, right in judged if low / bins < sure <= (low + 1) / bins]
        if inside:
            gap = sum(right for _, right in inside) / len(inside) - sum(sure for sure, _ in inside) / len(inside)
            total += len(inside) / len(judged) * abs(gap)
    return 100 * total


@pytest.mark.parametrize("bins", [1, 4, BINS])
@pytest.mark.parametrize("sharpness", [0.5, 3.0, 30.0])
def test_equals_the_loop_over_bins(bins: int, sharpness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = sharpness * torch.randn(200, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (200,), generator=generator)
    value = expected_calibration_error(logits, labels, bins)
    assert value == pytest.approx(looped(logits.tolist(), labels.tolist(), bins))


def test_fifteen_bins_unless_told() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(100, 3, generator=generator), torch.randint(3, (100,), generator=generator)
    assert expected_calibration_error(logits, labels) == expected_calibration_error(logits, labels, 15)
    assert expected_calibration_error(logits, labels) != expected_calibration_error(logits, labels, 2)


def test_is_0_where_confidence_is_the_accuracy() -> None:
    logits = logits_of([[0.75, 0.25]] * 4 + [[0.1, 0.9]] * 10)
    labels = torch.tensor([0, 0, 0, 1] + [1] * 9 + [0])
    assert expected_calibration_error(logits, labels) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("label", "expected"), [(0, 0.0), (1, 100.0)])
def test_always_sure_is_perfect_when_right_and_100_when_wrong(label: int, expected: float) -> None:
    logits = torch.tensor([[1000.0, -1000.0, 0.0]] * 7)
    assert expected_calibration_error(logits, torch.full((7,), label)) == pytest.approx(expected)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    # 0.5 and right, with 0.4 and wrong in the bin (0, 0.5]: their gaps +0.5 and -0.4 cancel; apart, they would add up.
    logits = logits_of([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3]])
    assert expected_calibration_error(logits, torch.tensor([0, 1]), bins=2) == pytest.approx(100 * 0.1 / 2)


def test_a_confidence_just_above_an_edge_belongs_to_the_upper_bin() -> None:
    logits = logits_of([[0.5001, 0.25, 0.2499], [0.4, 0.3, 0.3]])
    assert expected_calibration_error(logits, torch.tensor([0, 1]), bins=2) == pytest.approx(100 * 0.8999 / 2)


def test_one_sample_of_one_class_is_certain() -> None:
    assert expected_calibration_error(torch.tensor([[3.0]]), torch.tensor([0])) == 0


def test_gaps_of_opposite_sign_cancel_within_a_bin_only() -> None:
    logits = logits_of([[0.7, 0.3], [0.7, 0.3]])
    assert expected_calibration_error(logits, torch.tensor([0, 1])) == pytest.approx(20)
