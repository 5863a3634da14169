import numpy as np
import pytest
import torch

from unlearning.metrics.beside.cka import ESTIMATORS, debiased_cka, linear_cka, minibatch_cka


def features(samples: int, dimension: int, seed: int) -> torch.Tensor:
    return torch.randn(samples, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Textbook form: HSIC of centred Gram matrices."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    return 100 * np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))


def looped_cka(x: np.ndarray, y: np.ndarray) -> float:
    """The docstring's formula by loops over dimensions."""

    def product(a: np.ndarray, b: np.ndarray) -> float:
        total = 0.0
        for i in range(a.shape[1]):
            for j in range(b.shape[1]):
                total += sum((a[:, i] - a[:, i].mean()) * (b[:, j] - b[:, j].mean())) ** 2
        return total

    return 100 * product(x, y) / (product(x, x) * product(y, y)) ** 0.5


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC_1 of Song et al. 2012 with n x n kernels whose diagonals are zero."""
    n, one = len(x), np.ones(len(x))
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    product = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + product - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))


def test_the_estimators_are_known_by_name() -> None:
    assert list(ESTIMATORS) == ["full", "minibatch", "debiased"]
    assert list(ESTIMATORS.values()) == [linear_cka, minibatch_cka, debiased_cka]


@pytest.mark.parametrize(("samples", "d1", "d2"), [(50, 4, 6), (5, 20, 30), (20, 30, 3), (2, 3, 3)])
def test_both_forms_equal_the_gram_form(samples: int, d1: int, d2: int) -> None:
    x, y = features(samples, d1, 0), features(samples, d2, 1)
    assert linear_cka(x, y) == pytest.approx(gram_cka(x.numpy(), y.numpy()), rel=1e-10)


@pytest.mark.parametrize(("samples", "d1", "d2"), [(12, 3, 5), (6, 9, 4)])
def test_both_forms_equal_the_loops(samples: int, d1: int, d2: int) -> None:
    x, y = features(samples, d1, 2), features(samples, d2, 3)
    assert linear_cka(x, y) == pytest.approx(looped_cka(x.numpy(), y.numpy()), rel=1e-10)


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_is_100_for_equal_features(estimate) -> None:
    assert estimate(features(10, 4, 0), features(10, 4, 0)) == pytest.approx(100)


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("samples", [6, 40])
def test_ignores_rotation_scale_and_shift(estimate, samples: int) -> None:
    x, y = features(samples, 8, 0), features(samples, 8, 1)
    rotation, _ = torch.linalg.qr(features(8, 8, 2))
    assert estimate(x, 3 * y @ rotation + 7) == pytest.approx(estimate(x, y), rel=1e-8)
    assert estimate(x, -2 * x @ rotation - 1) == pytest.approx(100)


def test_is_not_invariant_to_any_linear_map() -> None:
    x = features(40, 4, 0)
    assert linear_cka(x, x * torch.tensor([10.0, 1, 1, 1])) < 95


def test_is_near_0_for_unrelated_features_of_many_samples() -> None:
    assert linear_cka(features(20_000, 4, 0), features(20_000, 4, 1)) < 0.1


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_is_symmetric(estimate) -> None:
    x, y = features(12, 5, 0), features(12, 9, 1)
    assert estimate(x, y) == pytest.approx(estimate(y, x))


def test_float32_features_with_a_large_offset_lose_nothing() -> None:
    x, y = features(30, 4, 0), features(30, 4, 1)
    assert linear_cka((x + 1000).float(), y.float()) == pytest.approx(linear_cka(x, y), abs=0.01)


def test_minibatch_is_the_mean_over_chunks_and_leaves_out_a_last_one_of_one() -> None:
    x, y = features(31, 4, 0).numpy(), features(31, 6, 1).numpy()
    by_hand = [gram_cka(x[at : at + 10], y[at : at + 10]) for at in (0, 10, 20)]
    assert minibatch_cka(torch.from_numpy(x), torch.from_numpy(y), 10) == pytest.approx(np.mean(by_hand))


def test_minibatch_counts_a_short_last_chunk_like_the_others() -> None:
    x, y = features(12, 4, 0).numpy(), features(12, 6, 1).numpy()
    by_hand = (gram_cka(x[:10], y[:10]) + gram_cka(x[10:], y[10:])) / 2
    assert minibatch_cka(torch.from_numpy(x), torch.from_numpy(y), 10) == pytest.approx(by_hand)


def test_minibatch_of_no_more_than_one_batch_is_the_full_one() -> None:
    x, y = features(513, 3, 0), features(513, 3, 1)
    assert minibatch_cka(x[:512], y[:512]) == pytest.approx(linear_cka(x[:512], y[:512]))
    assert minibatch_cka(x, y) == pytest.approx(linear_cka(x[:512], y[:512]))


@pytest.mark.parametrize(("samples", "d1", "d2"), [(50, 4, 6), (7, 20, 30), (20, 30, 3), (5, 3, 3)])
def test_debiased_equals_the_ratio_of_naive_estimates(samples: int, d1: int, d2: int) -> None:
    x = features(samples, d1, 0)
    y = features(samples, d2, 1) + x[:, :1] + 2
    naive = unbiased_hsic(x.numpy(), y.numpy())
    naive /= (unbiased_hsic(x.numpy(), x.numpy()) * unbiased_hsic(y.numpy(), y.numpy())) ** 0.5
    assert debiased_cka(x, y) == pytest.approx(100 * naive, rel=1e-8, abs=1e-8)


def test_debiased_is_near_0_where_dimensions_outnumber_independent_samples_and_full_is_not() -> None:
    x, y = features(60, 600, 0), features(60, 600, 1)
    assert linear_cka(x, y) > 85
    assert debiased_cka(x, y) == pytest.approx(0, abs=5)


def test_debiased_of_independent_features_falls_on_both_sides_of_0() -> None:
    values = [debiased_cka(features(20, 40, 2 * seed), features(20, 40, 2 * seed + 1)) for seed in range(50)]
    assert min(values) < 0 < max(values)
    assert np.mean(values) == pytest.approx(0, abs=3)


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("samples", [5, 64, 1001])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_features_give_exactly_0(estimate, samples: int, value: float, dtype: torch.dtype) -> None:
    constant, varied = torch.full((samples, 3), value, dtype=dtype), features(samples, 5, 0).to(dtype)
    assert estimate(constant, varied) == 0
    assert estimate(varied, constant) == 0
    assert estimate(constant, constant) == 0


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_features_that_differ_by_the_rounding_of_float32_only_are_constant(estimate) -> None:
    rounded = torch.full((30, 3), 0.1)
    rounded[::2] = torch.nextafter(rounded[::2], torch.tensor(1.0))
    assert len(rounded.unique()) == 2
    assert estimate(rounded, features(30, 5, 0).float()) == 0


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_one_constant_dimension_changes_nothing(estimate) -> None:
    x, y = features(30, 4, 0).float(), features(30, 4, 1).float()
    assert estimate(torch.cat([x, torch.full((30, 1), 0.1)], dim=1), y) == pytest.approx(estimate(x, y))


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("samples", [5, 20, 33])
def test_features_that_are_equal_but_for_one_sample_stay_within_100(estimate, samples: int) -> None:
    outlier = torch.zeros(samples, 3)
    outlier[2] = torch.tensor([1.0, 2.0, 0.3])
    for other in (3 * outlier, torch.eye(samples), features(samples, 4, 0)):
        assert abs(estimate(outlier + 0.7, other)) <= 100 + 1e-4


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_refuses_too_few_samples(estimate) -> None:
    least = 4 if estimate is debiased_cka else 2
    with pytest.raises(ValueError, match=f"{least} or more samples"):
        estimate(features(least - 1, 3, 0), features(least - 1, 3, 1))
    assert abs(estimate(features(least, 3, 0), features(least, 3, 1))) <= 100 + 1e-4


@pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
def test_refuses_unequal_numbers_of_samples(estimate) -> None:
    with pytest.raises(ValueError, match="not 8 and 9"):
        estimate(features(8, 3, 0), features(9, 3, 1))
