import math

import numpy as np
import pytest
import torch

from unlearning.metrics.alone.collapse import collapse_diagnostics, effective_rank, feature_variance


def features(samples: int, dimension: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(samples, dimension, generator=torch.Generator().manual_seed(seed))


def rank_by_svd(x: np.ndarray) -> float:
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    shares = [value / singular.sum() for value in singular if value > 1e-9 * singular.max()]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize(("samples", "dimension"), [(50, 6), (6, 50), (20, 20), (2, 5)])
def test_effective_rank_equals_the_entropy_of_the_singular_values(samples: int, dimension: int) -> None:
    x = features(samples, dimension) * torch.linspace(0.1, 3, dimension) + 2
    assert effective_rank(x) == pytest.approx(rank_by_svd(x.double().numpy()), rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("dimension", [5, 40])
def test_k_equal_orthogonal_directions_have_rank_k(k: int, dimension: int) -> None:
    directions = torch.eye(dimension)[:k]
    assert effective_rank(torch.cat([directions, -directions]) + 3) == pytest.approx(k)


@pytest.mark.parametrize("samples", [3, 1000])
def test_a_line_has_rank_1(samples: int) -> None:
    line = features(samples, 1).double() @ features(1, 30, seed=1).double()
    assert effective_rank(line + 5) == pytest.approx(1, abs=0.01)


def test_effective_rank_ignores_rotation_scale_and_shift() -> None:
    x = features(40, 8).double()
    rotation, _ = torch.linalg.qr(features(8, 8, seed=1).double())
    assert effective_rank(1e-4 * x @ rotation + 0.01) == pytest.approx(effective_rank(x), rel=1e-6)


@pytest.mark.parametrize(("samples", "dimension"), [(300, 5), (5, 300)])
def test_effective_rank_is_at_most_the_directions_there_are(samples: int, dimension: int) -> None:
    assert 1 < effective_rank(features(samples, dimension)) <= min(samples - 1, dimension) + 1e-9


@pytest.mark.parametrize("samples", [1, 7, 1000])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e4])
def test_constant_features_have_rank_0_no_variance_and_no_nan(samples: int, value: float) -> None:
    found = collapse_diagnostics(torch.full((samples, 3), value), torch.full((samples, 4), value))
    assert found["effective_rank"] == 0
    assert found["variance"] == pytest.approx(0, abs=1e-20)
    assert found["relative_variance"] == pytest.approx(0, abs=1e-20)
    assert found["logit_norm"] == pytest.approx(2 * abs(value))


def test_one_sample_is_one_point() -> None:
    found = collapse_diagnostics(features(1, 6), torch.tensor([[3.0, 4.0]]))
    assert found == {"effective_rank": 0, "variance": 0, "relative_variance": 0, "logit_norm": 5}


def test_variance_is_the_sum_over_the_dimensions() -> None:
    x = features(30, 5) * 2 + 1
    variance, relative = feature_variance(x)
    plain = x.double().numpy()
    assert variance == pytest.approx(sum(np.var(plain[:, column]) for column in range(5)))
    assert relative == pytest.approx(variance / np.mean([np.dot(row, row) for row in plain]))


def test_relative_variance_is_1_for_mean_zero_and_does_not_depend_on_the_unit() -> None:
    x = features(30, 5).double()
    assert feature_variance(x - x.mean(dim=0))[1] == pytest.approx(1)
    assert feature_variance(100 * (x + 1))[1] == pytest.approx(feature_variance(x + 1)[1])


def test_relative_variance_falls_towards_0_as_features_close_on_a_point() -> None:
    x = features(30, 5).double()
    values = [feature_variance(spread * x + 1)[1] for spread in (1, 0.1, 0.01)]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < 1e-3


def test_logit_norm_is_the_mean_length() -> None:
    logits = features(9, 4, seed=2)
    plain = np.mean([math.sqrt(sum(value * value for value in row)) for row in logits.tolist()])
    assert collapse_diagnostics(features(9, 3), logits)["logit_norm"] == pytest.approx(plain)


def test_half_precision_features_are_measured_in_double() -> None:
    half = (features(30, 4) * 1000).half()
    assert collapse_diagnostics(half, half) == pytest.approx(collapse_diagnostics(half.double(), half.double()))
