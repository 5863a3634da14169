import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from unlearning.comparison.model import Result
from unlearning.data.manifest import Manifest
from unlearning.over_seeds import Summary, best_of, competitors, deviation_of, differ, mean_of, summarise, worst_hurt

MANIFEST = Manifest("test", ["a", "b", "c", "d"], 8, 1, [0.0], [1.0], None, "content", {}, [1])


def test_the_mean_is_leaf_by_leaf_whatever_the_form() -> None:
    trees = [
        {"number": 1, "list": [1.0, None, "x"], "deep": {"a": {"b": 0.25}}, "text": "CPU", "all": True, "some": True},
        {"number": 4, "list": [2.0, None, "x"], "deep": {"a": {"b": 0.75}}, "text": "CPU", "all": True, "some": False},
    ]
    assert mean_of(trees) == {
        "number": 2.5, "list": [1.5, None, "x"], "deep": {"a": {"b": 0.5}}, "text": "CPU", "all": True, "some": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("leaves", "mean"),
    [
        (["a", "b"], None),
        ([None, 1.0], None),
        ([None, None], None),
        ([False, False], False),
        ([[1.0], [1.0, 2.0]], None),
        ([[], []], []),
        ([1.0, {"a": 1.0}], None),
        ([True, 1.0], True),  # equal in Python, and not a number
        ([True, 3.0], None),
    ],
)
def test_leaves_that_are_no_numbers_are_kept_where_all_agree(leaves: list[Any], mean: Any) -> None:
    assert mean_of(leaves) == mean


def test_keys_that_not_all_have_are_left_out() -> None:
    trees = [{"a": 1.0, "b": {"c": 1.0, "d": 2.0}}, {"b": {"c": 3.0}, "e": 5.0}]
    assert mean_of(trees) == {"b": {"c": 2.0}}
    assert deviation_of(trees) == {"b": {"c": math.sqrt(2)}}


def test_the_deviation_is_numpys_over_n_minus_1_and_none_where_there_is_none() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3))
    trees = [{"row": [*row, None], "text": "x", "holds": True, "whole": int(10 * row[0])} for row in values]
    deviation = deviation_of(trees)
    assert deviation["row"][:3] == pytest.approx(list(values.std(axis=0, ddof=1)))
    assert deviation["whole"] == pytest.approx(np.std([tree["whole"] for tree in trees], ddof=1))
    assert (deviation["row"][3], deviation["text"], deviation["holds"]) == (None, None, None)
    assert deviation_of([{"a": 2.0}] * 3) == {"a": 0}


def result_of(acc: float, notes: tuple[str, ...] = (), **metrics: Any) -> Result:
    details = {"test_acc_per_class": [acc, 0.0, None, 2 * acc], "collapsed": bool(notes), "notes": list(notes)}
    return Result({"forget_acc": acc, "knn": {"birds": acc / 2}, **metrics}, details)


def test_several_seeds_give_means_deviations_and_each_of_them() -> None:
    results = {5: result_of(10.0), 3: result_of(20.0, ("collapsed: so",)), 4: result_of(40.0)}
    one = summarise(results, {"idi": "idi is left out; seed 3: noise"})
    assert one.metrics == {"forget_acc": pytest.approx(70 / 3), "knn": {"birds": pytest.approx(35 / 3)}}
    std = float(np.std([10, 20, 40], ddof=1))
    assert one.spread == {"forget_acc": pytest.approx(std), "knn": {"birds": pytest.approx(std / 2)}}
    assert one.mean["test_acc_per_class"] == [pytest.approx(70 / 3), 0.0, None, pytest.approx(140 / 3)]
    assert one.std["test_acc_per_class"] == [pytest.approx(std), 0.0, None, pytest.approx(2 * std)]
    assert one.mean["collapsed"] is True
    assert list(one.details["seeds"]) == ["5", "3", "4"]
    assert one.details["seeds"]["3"]["metrics"] == results[3].metrics
    assert one.details["seeds"]["3"]["test_acc_per_class"] == results[3].details["test_acc_per_class"]
    assert one.details["notes"] == ["idi is left out; seed 3: noise", "seed 3: collapsed: so"]
    assert json.loads(json.dumps(one.details, allow_nan=False)) == one.details


def test_one_seed_is_a_draw_without_deviation() -> None:
    result = result_of(10.0)
    one = summarise({7: result}, {})
    assert one.metrics == result.metrics
    assert (one.spread, one.std) == ({}, {})
    assert one.mean["test_acc_per_class"] == result.details["test_acc_per_class"]
    assert one.details["notes"] == []


def test_a_number_that_one_seed_lacks_is_in_neither_mean_nor_spread() -> None:
    one = summarise({0: result_of(10.0, idi=0.5), 1: result_of(10.0)}, {})
    assert "idi" not in one.metrics
    assert "idi" not in one.spread
    assert one.details["seeds"]["0"]["metrics"]["idi"] == 0.5


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_the_test_is_scipys_paired_t_test(count: int) -> None:
    random, answers = np.random.default_rng(count), set()
    for _ in range(200):
        first = random.normal(size=count)
        second = first + random.normal(0.8, 0.7, size=count)
        expected = bool(ttest_rel(first, second).pvalue < 0.05)
        assert differ(list(first), list(second)) == differ(list(second), list(first)) == expected
        answers.add(expected)
    assert answers == {True, False}


def test_equal_values_never_differ_and_a_constant_difference_always_does() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not differ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
        assert differ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
        assert differ([2.0, 3.0], [1.0, 2.0])


def test_three_seeds_must_lie_close_together_to_differ() -> None:
    # t = 4.303 at two degrees of freedom and 5 %: the mean over its standard error.
    error = 1 / math.sqrt(3)
    for t, expected in ((4.25, False), (4.35, True)):
        mean = t * error
        assert differ([mean - 1, mean, mean + 1], [0.0, 0.0, 0.0]) == expected


def test_the_best_are_the_smallest_mean_and_what_cannot_be_told_from_it() -> None:
    values = {
        "far": [5.0, 5.1, 5.2],
        "noisy": [0.0, 9.0, 4.0],
        "best": [1.0, 1.1, 1.2],
        "near": [1.2, 1.0, 1.3],
    }
    assert best_of(values) == ["noisy", "best", "near"]
    assert best_of({"alone": [3.0, 4.0]}) == ["alone"]
    assert best_of({"a": [0.0, 0.0], "b": [0.0, 0.0]}) == ["a", "b"]
    assert best_of({}) == []


def summary_of(forget_acc: float, test_retain_acc: float) -> Summary:
    return Summary({"forget_acc": forget_acc, "test_retain_acc": test_retain_acc}, {}, {"mean": {}})


def test_only_what_forgets_and_keeps_utility_competes() -> None:
    summaries = {
        "retrained": summary_of(0.0, 90.0),
        "forgets": summary_of(1.0, 85.0),
        "remembers": summary_of(1.01, 95.0),
        "useless": summary_of(0.0, 84.99),
        "better": summary_of(0.0, 99.0),
        "not_asked": summary_of(0.0, 99.0),
    }
    assert competitors(summaries, ["better", "useless", "remembers", "forgets"]) == ["better", "forgets"]


def test_without_a_retrained_model_utility_is_that_of_the_original() -> None:
    summaries = {"original": summary_of(99.0, 90.0), "keeps": summary_of(0.0, 85.0), "loses": summary_of(0.0, 84.9)}
    assert competitors(summaries, ["keeps", "loses"]) == ["keeps"]


def with_classes(*accuracies: float | None) -> Summary:
    return Summary({}, {}, {"mean": {"test_acc_per_class": list(accuracies)}})


def test_the_worst_hurt_retain_classes_are_named_worst_first() -> None:
    original = with_classes(20.0, 80.0, None, 60.0)
    own = with_classes(25.0, 0.0, None, 48.0)
    assert list(worst_hurt(own, original, MANIFEST).items()) == [
        ("d", 12.0),
        ("a", -5.0),
    ]  # b forgotten, c has no image


def test_at_most_ten_classes_are_named() -> None:
    names = [f"class{label}" for label in range(30)]
    manifest = Manifest("test", names, 8, 1, [0.0], [1.0], None, "content", {}, [0])
    hurt = worst_hurt(with_classes(*map(float, range(30))), with_classes(*[100.0] * 30), manifest)
    assert list(hurt.items()) == [(f"class{label}", 100.0 - label) for label in range(1, 11)]
