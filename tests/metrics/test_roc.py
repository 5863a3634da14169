import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from unlearning.metrics.alone.roc import AUC, auc_and_variance, interval


def scores(count: int, shift: float, seed: int, decimals: int | None = None) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(shift, 1, count)
    return drawn if decimals is None else drawn.round(decimals)


def placed(one: float, others: np.ndarray) -> float:
    """Share of the others below, ties half."""
    return sum(1.0 if other < one else 0.5 if other == one else 0.0 for other in others) / len(others)


def looped(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """DeLong by placements: the area and var(V10) / m + var(V01) / n."""
    of_positive = [placed(one, negative) for one in positive]
    of_negative = [1 - placed(one, positive) for one in negative]
    area = sum(of_positive) / len(positive)
    variance = 0.0
    for values in (of_positive, of_negative):
        variance += sum((value - area) ** 2 for value in values) / (len(values) - 1) / len(values)
    return area, variance


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize(("positives", "negatives"), [(2, 2), (5, 40), (60, 30)])
def test_area_equals_scikit_learn_with_and_without_ties(positives: int, negatives: int, decimals: int | None) -> None:
    positive, negative = scores(positives, 0.5, 0, decimals), scores(negatives, 0.0, 1, decimals)
    truth = np.repeat([1, 0], [positives, negatives])
    expected = roc_auc_score(truth, np.concatenate([positive, negative]))
    assert auc_and_variance(positive, negative)[0] == pytest.approx(expected)


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize(("positives", "negatives"), [(2, 3), (5, 40), (60, 30)])
def test_area_and_variance_equal_the_loop_over_placements(positives: int, negatives: int, decimals: int | None) -> None:
    positive, negative = scores(positives, 0.5, 2, decimals), scores(negatives, 0.0, 3, decimals)
    assert auc_and_variance(positive, negative) == pytest.approx(looped(positive, negative))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_variance_is_near_that_of_a_bootstrap(shift: float) -> None:
    positive, negative = scores(80, shift, 0), scores(120, 0.0, 1)
    above = (positive[:, None] > negative).astype(float)
    random = np.random.default_rng(2)
    areas = [above[random.integers(80, size=80)][:, random.integers(120, size=120)].mean() for _ in range(2000)]
    assert auc_and_variance(positive, negative)[1] == pytest.approx(np.var(areas), rel=0.15)


def test_scores_that_are_all_equal_are_a_coin_and_certainly_so() -> None:
    assert auc_and_variance(np.ones(5), np.ones(7)) == (0.5, 0.0)


@pytest.mark.parametrize(("positive", "expected"), [([3.0, 4.0], 1.0), ([-3.0, -4.0], 0.0)])
def test_separated_scores_give_1_or_0(positive: list[float], expected: float) -> None:
    assert auc_and_variance(np.array(positive), np.array([0.0, 1.0, 2.0])) == (expected, 0.0)


def test_exchanging_the_kinds_mirrors_the_area() -> None:
    positive, negative = scores(20, 0.5, 0, 1), scores(30, 0.0, 1, 1)
    area, variance = auc_and_variance(positive, negative)
    assert auc_and_variance(negative, positive) == pytest.approx((1 - area, variance))


def test_interval_is_normal_and_in_percent() -> None:
    reach = 100 * norm.ppf(0.975) * 0.03
    found = interval(0.6, 0.03**2)
    assert (found.auc, found.low, found.high) == pytest.approx((60, 60 - reach, 60 + reach))


def test_interval_is_cut_at_0_and_100() -> None:
    assert interval(0.99, 0.01).high == 100
    assert interval(0.99, 0.01).low == pytest.approx(99 - 19.6, abs=0.01)
    assert interval(0.01, 0.01).low == 0
    assert interval(0.5, 1.0) == AUC(50, 0, 100)


def test_the_interval_covers_the_area_about_95_times_in_100() -> None:
    truth = 100 * norm.cdf(0.5 / 2**0.5)
    drawn = [interval(*auc_and_variance(scores(60, 0.5, 2 * i), scores(60, 0.0, 2 * i + 1))) for i in range(1000)]
    assert np.mean([one.low <= truth <= one.high for one in drawn]) == pytest.approx(0.95, abs=0.02)
