"""H-Mean against the distance to the retrained model: what the paper ranks by, beside what retraining would give.

A method can have either without the other: H-Mean rewards features unlike the original's, also where no retrained model
has such, and a model near to the retrained one in all accuracies may have kept its features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from unlearning.figures.style import BLACK, BLUE, GREY, VERMILION, plain, save, save_text
from unlearning.over_seeds import Summary, able_methods
from unlearning.params import ANOTHER, CONTROLS, REFERENCES

WIDTH, HEIGHT = 6.4, 4.6  # inches
FONT = 7  # points, of the names
LEAST = 0.1  # points: a gap is drawn as no less, as its axis is logarithmic
ROOM = 1.6  # times the largest gap, where the axis ends: room for a name
ABOVE = 20.0  # points of H-Mean over the highest, where its axis ends: room for a name
NO_GAP = "Without a retrained model there is no distance to it."
SIDES = [(1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]  # where a name stands, the best first


@dataclass(frozen=True)
class Point:
    """One model: means, and deviations over the seeds (0 for one)."""

    name: str
    gap: float
    h_mean: float
    gap_std: float
    h_mean_std: float


@dataclass(frozen=True)
class Kind:
    """How a group of models is drawn."""

    label: str
    colour: str
    marker: str
    filled: bool


KEEPS = Kind("forgets (FA at most 1 %) and keeps utility", BLUE, "o", True)
FAILS = Kind("does not do both", GREY, "o", False)
CONTROL = Kind("control", VERMILION, "X", True)
REFERENCE = Kind("original, another retrained", BLACK, "s", False)


def draw_tradeoff(models: Mapping[str, Summary], path: Path) -> None:
    """Draw every model that has both numbers into a PNG: up and to the left is better."""
    drawn = points(models)
    if not drawn:
        save_text(NO_GAP, path)
        return
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    plain(axes)
    kinds = kinds_of(models)
    for kind in (KEEPS, FAILS, CONTROL, REFERENCE):
        _draw_kind(axes, kind, [point for point in drawn if kinds[point.name] is kind])
    if "retrained" in models and "h_mean" in models["retrained"].metrics:
        level = models["retrained"].metrics["h_mean"]
        axes.axhline(level, color=BLACK, linestyle="--", linewidth=0.8, zorder=1, label="H-Mean of retrained, gap 0")
    logarithmic(axes, ROOM * max(point.gap for point in drawn))
    axes.set_ylim(-9, min(104, ABOVE + max(point.h_mean + point.h_mean_std for point in drawn)))
    axes.set_xlabel("gap to the retrained model: mean distance over accuracies and attacks, points (log)", fontsize=8)
    axes.set_ylabel("H-Mean (paper Eq. 5)", fontsize=8)
    axes.tick_params(labelsize=7)
    figure.legend(loc="outside upper center", ncols=2, fontsize=FONT, frameon=False)
    _name(figure, axes, drawn)
    save(figure, path)


def logarithmic(axes: Axes, right: float) -> None:
    """Make the x axis logarithmic up to `right`, with plain numbers at 1, 2 and 5 of each power of ten."""
    axes.set_xscale("log")
    axes.set_xlim(right=right)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def points(models: Mapping[str, Summary]) -> list[Point]:
    """Return the models that have an H-Mean and a gap; the retrained one, of which it is the distance, has none."""
    return [
        Point(
            name,
            max(one.metrics["retrain_gap"], LEAST),
            one.metrics["h_mean"],
            one.spread.get("retrain_gap", 0.0),
            one.spread.get("h_mean", 0.0),
        )
        for name, one in models.items()
        if name != "retrained" and {"h_mean", "retrain_gap"} <= one.metrics.keys()
    ]


def kinds_of(models: Mapping[str, Summary]) -> dict[str, Kind]:
    """Return how each model is drawn."""
    able = able_methods(models)
    named = dict.fromkeys((*REFERENCES, ANOTHER), REFERENCE) | dict.fromkeys(CONTROLS, CONTROL)
    return {name: named.get(name, KEEPS if name in able else FAILS) for name in models}


def _draw_kind(axes: Axes, kind: Kind, own: list[Point]) -> None:
    if not own:
        return
    gaps, scores = [point.gap for point in own], [point.h_mean for point in own]
    lower = [min(point.gap_std, 0.9 * point.gap) for point in own]  # a logarithmic axis ends above 0
    axes.errorbar(
        gaps,
        scores,
        xerr=[lower, [point.gap_std for point in own]],
        yerr=[point.h_mean_std for point in own],
        fmt="none",
        ecolor="0.8",
        elinewidth=0.8,
        zorder=1,
    )
    axes.scatter(
        gaps,
        scores,
        s=28,
        marker=kind.marker,
        edgecolors=kind.colour,
        facecolors=kind.colour if kind.filled else "white",
        label=kind.label,
        zorder=3,
    )


def _name(figure: Figure, axes: Axes, drawn: list[Point]) -> None:
    """Write each name where it covers least of the others, and of the points."""
    figure.draw_without_rendering()
    place = axes.transData.transform
    signs = [place((point.gap, point.h_mean)) for point in drawn]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in signs]
    for point, (x, y) in sorted(zip(drawn, signs, strict=True), key=lambda pair: tuple(pair[1])):
        width, height = 0.62 * FONT * len(point.name) * figure.dpi / 72, 1.2 * FONT * figure.dpi / 72
        boxes = {side: _box(x, y, width, height, side) for side in SIDES}
        side = min(SIDES, key=lambda one: sum(_overlap(boxes[one], other) for other in taken))
        left, bottom, _, _ = boxes[side]
        taken.append(boxes[side])
        across, up = axes.transData.inverted().transform((left, bottom + 0.2 * height))
        axes.text(across, up, point.name, fontsize=FONT, zorder=4)


def _box(x: float, y: float, width: float, height: float, side: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top of a name on one side of a point, all in pixels."""
    across, up = side
    left = x + {1: 6, 0: -width / 2, -1: -6 - width}[across]
    bottom = y + {1: 5, 0: -height / 2, -1: -5 - height}[up]
    return left, bottom, left + width, bottom + height


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Return the common area of two boxes."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, up)
