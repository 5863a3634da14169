import math
import re
from statistics import stdev

import pytest

from unlearning.metrics.beside.idi import (
    Trials,
    Undefined,
    deviation,
    difference_sum,
    doubts,
    information_difference_index,
    mean_of,
)

ORIGINAL: Trials = {"a": [0.5], "b": [0.6]}
RETRAINED: Trials = {"a": [0.3], "b": [0.3]}
FLOOR = 0.05

# Three critic seeds.
FIRST: Trials = {"a": [0.50, 0.52, 0.48], "b": [0.60, 0.63, 0.57]}
GOLD: Trials = {"a": [0.30, 0.31, 0.29], "b": [0.30, 0.28, 0.33]}
MODEL: Trials = {"a": [0.42, 0.37, 0.40], "b": [0.35, 0.41, 0.32]}


@pytest.mark.parametrize(("original", "retrained"), [(ORIGINAL, RETRAINED), (FIRST, GOLD)])
def test_original_is_exactly_1_and_retrained_exactly_0(original: Trials, retrained: Trials) -> None:
    like_original = information_difference_index(original, original, retrained, FLOOR)
    assert (like_original.idi, like_original.idi_abs) == (1, 1)
    like_retrained = information_difference_index(retrained, original, retrained, FLOOR)
    assert (like_retrained.idi, like_retrained.idi_abs) == (0, 0)
    assert set(like_retrained.differences.values()) == {0}


def test_is_signed_and_opposite_signs_cancel_only_in_idi() -> None:
    result = information_difference_index({"a": [0.4], "b": [0.2]}, ORIGINAL, RETRAINED, FLOOR)
    assert result.idi == pytest.approx(0, abs=1e-12)
    assert result.idi_abs == pytest.approx(0.2 / 0.5)
    assert result.differences == pytest.approx({"a": 0.1, "b": -0.1})
    beyond = information_difference_index({"a": [0.1], "b": [0.1]}, ORIGINAL, RETRAINED, FLOOR)
    assert beyond.idi == pytest.approx(-0.4 / 0.5)
    assert beyond.idi_abs == pytest.approx(0.4 / 0.5)


def test_a_layer_where_the_original_knows_less_counts_against_it_only_in_idi() -> None:
    original = {"a": [0.5], "b": [0.2]}
    result = information_difference_index({"a": [0.4], "b": [0.3]}, original, RETRAINED, FLOOR)
    assert result.idi == pytest.approx(0.1 / (0.2 - 0.1))
    assert result.idi_abs == pytest.approx(0.1 / (0.2 + 0.1))
    assert result.denominator == pytest.approx(0.1)


@pytest.mark.parametrize("original", [{"a": [0.31], "b": [0.31]}, {"a": [0.1], "b": [0.1]}])
def test_with_a_small_or_negative_denominator_it_is_undefined_and_says_what_to_change(original: Trials) -> None:
    with pytest.raises(Undefined, match=r"summed over a, b; below idi\.floor = 0\.05.*mutual_information.*epochs"):
        information_difference_index(ORIGINAL, original, RETRAINED, FLOOR)


def test_the_error_says_how_little_the_original_knows() -> None:
    with pytest.raises(Undefined, match=re.escape("tell -0.4000 nats more")):
        information_difference_index(ORIGINAL, {"a": [0.1], "b": [0.1]}, RETRAINED, FLOOR)


def test_a_denominator_at_the_floor_is_enough() -> None:
    result = information_difference_index({"a": [1.25]}, {"a": [1.5]}, {"a": [1.0]}, 0.5)
    assert (result.idi, result.denominator) == (0.5, 0.5)


def test_is_that_of_the_means_over_the_critic_seeds() -> None:
    result = information_difference_index(MODEL, FIRST, GOLD, FLOOR)
    means = [{layer: sum(values) / 3 for layer, values in trials.items()} for trials in (MODEL, FIRST, GOLD)]
    own, first, gold = means
    denominator = first["a"] - gold["a"] + first["b"] - gold["b"]
    assert mean_of(MODEL) == pytest.approx(own)
    assert result.denominator == pytest.approx(denominator)
    assert result.idi == pytest.approx((own["a"] - gold["a"] + own["b"] - gold["b"]) / denominator)
    assert result.differences == pytest.approx({layer: own[layer] - gold[layer] for layer in gold})
    once = information_difference_index(*({k: [v] for k, v in one.items()} for one in means), FLOOR)
    assert (once.idi, once.idi_abs) == pytest.approx((result.idi, result.idi_abs))


def test_deviation_by_hand() -> None:
    sums = [0.42 - 0.30 + 0.35 - 0.30, 0.37 - 0.31 + 0.41 - 0.28, 0.40 - 0.29 + 0.32 - 0.33]
    assert deviation(MODEL, GOLD) == pytest.approx(stdev(sums))
    result = information_difference_index(MODEL, FIRST, GOLD, FLOOR)
    assert result.std == pytest.approx(stdev(sums) / result.denominator)


def test_one_critic_seed_has_no_deviation() -> None:
    assert deviation(ORIGINAL, RETRAINED) is None
    assert information_difference_index(ORIGINAL, ORIGINAL, RETRAINED, FLOOR).std is None


def test_deviation_of_the_retrained_model_is_0() -> None:
    assert information_difference_index(GOLD, FIRST, GOLD, FLOOR).std == 0


def test_what_a_seed_adds_to_every_model_drops_out_of_the_deviation() -> None:
    shift = [0.0, 0.2, -0.1]

    def shifted(trials: Trials) -> Trials:
        return {
            layer: [value + more for value, more in zip(values, shift, strict=True)] for layer, values in trials.items()
        }

    assert deviation(shifted(MODEL), shifted(GOLD)) == pytest.approx(deviation(MODEL, GOLD))
    assert deviation(shifted(MODEL), GOLD) != pytest.approx(deviation(MODEL, GOLD), rel=0.1)
    steady = {layer: [value] * 3 for layer, value in (("a", 0.4), ("b", 0.5))}
    assert deviation(shifted(steady), shifted({"a": [0.3] * 3, "b": [0.3] * 3})) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("train", "std", "count"), [(0.31, 0.04, 0), (0.31, None, 0), (0.38, 0.04, 1), (0.38, 0.11, 2)]
)
def test_is_unsure_where_critics_memorise_or_the_trials_disagree(train: float, std: float | None, count: int) -> None:
    reasons = doubts({"a": 0.5, "b": 0.3}, {"a": 0.5, "b": train}, math.log(2), std)
    assert len(reasons) == count
    assert all(reason.startswith("IDI is unsure: ") for reason in reasons)


def test_sums_over_the_layers() -> None:
    assert difference_sum({"a": 0.5, "b": 0.1}, {"a": 0.2, "b": 0.3}) == pytest.approx(0.1)
