import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from unlearning.metrics.beside.closeness import js_divergence, retrain_gap


def logits(seed: int, sharpness: float = 1.0) -> torch.Tensor:
    return sharpness * torch.randn(30, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def looped(first: torch.Tensor, second: torch.Tensor) -> float:
    total = 0.0
    for p, q in zip(first.softmax(dim=1).tolist(), second.softmax(dim=1).tolist(), strict=True):
        for a, b in zip(p, q, strict=True):
            total += (a * math.log2(2 * a / (a + b)) + b * math.log2(2 * b / (a + b))) / 2
    return total / len(first)


def test_gap_is_the_mean_absolute_difference() -> None:
    own, retrained = {"a": 90.0, "b": 5.0, "c": 50.0}, {"a": 80.0, "b": 8.0, "c": 50.0}
    assert retrain_gap(own, retrained) == pytest.approx((10 + 3 + 0) / 3)


def test_only_numbers_that_both_have_count() -> None:
    assert retrain_gap({"a": 90.0, "own": 0.0}, {"retrained": 100.0, "a": 80.0}) == pytest.approx(10)


def test_gap_of_the_retrained_model_is_0() -> None:
    assert retrain_gap({"a": 12.3, "b": 0.1}, {"b": 0.1, "a": 12.3}) == 0


@pytest.mark.parametrize(("own", "retrained"), [({"a": 1.0}, {"b": 1.0}), ({}, {"b": 1.0}), ({}, {})])
def test_no_number_in_common_is_an_error(own: dict[str, float], retrained: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="in common"):
        retrain_gap(own, retrained)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 20.0])
def test_divergence_equals_scipy_and_the_loop(sharpness: float) -> None:
    first, second = logits(0, sharpness), logits(1, sharpness)
    p, q = first.softmax(dim=1).numpy(), second.softmax(dim=1).numpy()
    distances = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    assert js_divergence(first, second) == pytest.approx(np.mean(distances))
    assert js_divergence(first, second) == pytest.approx(looped(first, second))


@pytest.mark.parametrize("sharpness", [1.0, 1000.0])
def test_divergence_of_equal_predictions_is_0(sharpness: float) -> None:
    assert js_divergence(logits(0, sharpness), logits(0, sharpness)) == 0
    assert js_divergence(logits(0), logits(0) + 7) == pytest.approx(0, abs=1e-12)


def test_divergence_of_certain_and_different_predictions_is_1() -> None:
    first = torch.tensor([[1000.0, -1000.0, -1000.0]])
    assert js_divergence(first, first.roll(1, dims=1)) == pytest.approx(1)


def test_divergence_is_symmetric() -> None:
    assert js_divergence(logits(0), logits(1)) == js_divergence(logits(1), logits(0)) > 0


def test_float32_logits_give_a_float64_divergence() -> None:
    first, second = logits(0).float(), logits(1).float()
    assert js_divergence(first, second) == js_divergence(first.double(), second.double())


@pytest.mark.parametrize("gap", [0.0, 700.0, 744.6, 745.0, 746.0, 1e5])
def test_divergence_stays_between_0_and_1_where_probabilities_underflow(gap: float) -> None:
    assert 0 <= js_divergence(torch.tensor([[0.0, -gap]]), torch.tensor([[0.0, -1000.0]])) <= 1
