import re
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tests.figures.edges import nothing_touches_the_edge
from tests.figures.summaries import summary
from unlearning.figures.tradeoff import (
    CONTROL,
    FAILS,
    KEEPS,
    LEAST,
    REFERENCE,
    _overlap,
    draw_tradeoff,
    kinds_of,
    logarithmic,
    points,
)
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER, CONTROLS


def models_of(**more: Summary) -> dict[str, Summary]:
    return {
        "original": summary(forget_acc=99.0, h_mean=0.0, retrain_gap=40.0),
        "retrained": summary(forget_acc=0.0, h_mean=45.0, retrain_gap=0.0),
        ANOTHER: summary(forget_acc=0.0, h_mean=44.0, retrain_gap=1.0),
        "good": summary(forget_acc=0.0, h_mean=[50.0, 60.0, 70.0], retrain_gap=[1.0, 2.0, 3.0]),
        "known": summary(forget_acc=30.0, h_mean=20.0, retrain_gap=9.0),
        CONTROLS[0]: summary(forget_acc=0.0, h_mean=5.0, retrain_gap=6.0),
        **more,
    }


def test_a_point_is_the_means_with_their_deviations_and_retrained_is_none() -> None:
    drawn = {point.name: point for point in points(models_of())}
    assert list(drawn) == ["original", ANOTHER, "good", "known", CONTROLS[0]]
    good = drawn["good"]
    assert (good.gap, good.h_mean, good.gap_std, good.h_mean_std) == (2.0, 60.0, 1.0, 10.0)


def test_a_gap_of_0_has_a_place_on_the_logarithmic_axis() -> None:
    (same,) = [point for point in points(models_of(same=summary(retrain_gap=0.0))) if point.name == "same"]
    assert same.gap == LEAST


def test_what_forgets_and_keeps_utility_is_told_from_what_does_not() -> None:
    kinds = kinds_of(models_of())
    assert (kinds["good"], kinds["known"], kinds[CONTROLS[0]], kinds[ANOTHER]) == (KEEPS, FAILS, CONTROL, REFERENCE)


@pytest.mark.parametrize("gaps", [(0.1, 90.0), (1.4, 24.7), (2.0, 3.0)])
def test_the_numbers_below_the_axis_are_plain_and_do_not_cover_each_other(gaps: tuple[float, float]) -> None:
    figure = Figure(figsize=(6.4, 4.6))
    axes = figure.subplots()
    axes.scatter(gaps, (1.0, 1.0))
    logarithmic(axes, 1.6 * max(gaps))
    figure.draw_without_rendering()
    shown = [one for one in axes.get_xticklabels(which="both") if one.get_text() and _within(axes, one)]
    assert shown
    assert all(re.fullmatch(r"\d+(\.\d+)?", one.get_text()) for one in shown)
    boxes = sorted((one.get_window_extent() for one in shown), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def _within(axes: Axes, label: Text) -> bool:
    left, right = axes.get_xlim()
    return left <= label.get_position()[0] <= right


@pytest.mark.parametrize("seeds", [1, 3])
def test_nothing_is_cut_off_and_equal_numbers_give_equal_bytes(seeds: int, tmp_path: Path) -> None:
    models = {name: summary(seeds, h_mean=100.0 * (name != "original"), retrain_gap=30.0) for name in models_of()}
    models["a_method_with_a_long_name"] = summary(seeds, h_mean=90.0, retrain_gap=31.0)
    for name in ("one", "two"):
        draw_tradeoff(models, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert nothing_touches_the_edge(tmp_path / "one")


def test_without_a_retrained_model_the_picture_says_so(tmp_path: Path) -> None:
    one = summary()
    del one.metrics["retrain_gap"]
    draw_tradeoff({"original": one, "ec": one}, tmp_path / "figure")
    assert Image.open(tmp_path / "figure").height < 300


@pytest.mark.parametrize(
    ("other", "area"), [((1, 1, 3, 3), 1), ((0, 0, 2, 2), 4), ((2, 0, 4, 2), 0), ((5, 5, 6, 6), 0)], ids=str
)
def test_overlap_is_the_common_area(other: tuple[float, float, float, float], area: float) -> None:
    assert _overlap((0, 0, 2, 2), other) == area
