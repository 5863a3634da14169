"""Small multiples: a panel a method, the references in each, the other methods faint behind; any number is readable."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from unlearning.figures.style import BLUE, GREY, legend_columns, plain, wrapped
from unlearning.params import REFERENCES

COLUMNS = 5
WIDTH, HEIGHT = 1.65, 1.35  # of a panel, inches
NARROWEST = 3.6  # of the figure, inches
LEFT, RIGHT, TOP = 0.7, 0.1, 0.75  # margins with a label and a title of one line, inches
LABEL, TITLE, LEGEND = 9, 10, 7  # sizes of fonts, points
LINE = 0.16  # height of a further line, inches
OTHERS, SHOWN = "other methods", "the method"  # in the legend
LONG = 4  # letters; longer names of ticks are turned
FAINT = "0.85"
LINES = dict(zip(REFERENCES, (":", "--", "-."), strict=True))
Curves = Mapping[str, Sequence[float | None]]  # model: a value for each tick, None = a gap


def draw_panels(curves: Curves, ticks: Sequence[str], x_label: str, y_label: str, title: str) -> Figure:
    """Return a figure of percentages over the ticks: original dotted, retrained dashed, the panel's method in blue."""
    methods = [name for name in curves if name not in REFERENCES]
    columns = min(COLUMNS, max(1, len(methods)))
    rows = max(1, -(-len(methods) // columns))
    turned = max(map(len, ticks)) > LONG
    bottom = 0.95 if turned else 0.5
    width = max(NARROWEST, WIDTH * columns + LEFT + RIGHT)
    title, y_label = wrapped(title, width, TITLE), wrapped(y_label, HEIGHT * rows + bottom, LABEL)
    named = [OTHERS, *(name for name in LINES if name in curves), SHOWN]
    in_a_row = legend_columns(named, width, LEGEND)
    below_title = 0.25 + LINE * title.count("\n")
    top = below_title + TOP - 0.25 + LINE * (-(-len(named) // in_a_row) - 1)
    left = LEFT + LINE * y_label.count("\n")
    height = HEIGHT * rows + top + bottom
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(left / width, bottom / height, 1 - RIGHT / width, 1 - top / height, wspace=0.12, hspace=0.3)
    for axes, name in zip(grid.flat, methods or [""], strict=False):
        _draw_panel(axes, name, curves, methods)
    grid[0, 0].set(xlim=(-0.2, len(ticks) - 0.8), ylim=(-3, 103), yticks=(0, 50, 100))  # all panels share their axes
    grid[0, 0].set_xticks(range(len(ticks)), ticks)
    for axes in grid.flat[len(methods) or 1 :]:
        axes.set_visible(False)
    last = len(methods) - columns * (rows - 1)  # how many panels the last row has
    lowest = [*grid[-1, :last], *grid[-2, last:]] if rows > 1 else list(grid[0])
    for axes in lowest:
        axes.tick_params(labelbottom=True)
        if turned:
            for label in axes.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")
    figure.supxlabel(x_label, fontsize=LABEL, y=0.06 / height)
    figure.supylabel(y_label, fontsize=LABEL, x=0.06 / width)
    figure.suptitle(title, fontsize=TITLE, y=1 - 0.08 / height, va="top")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    place = (0.5, 1 - below_title / height)
    figure.legend(
        handles, labels, loc="upper center", bbox_to_anchor=place, ncols=in_a_row, fontsize=LEGEND, frameon=False
    )
    return figure


def _draw_panel(axes: Axes, name: str, curves: Curves, methods: list[str]) -> None:
    plain(axes)
    axes.tick_params(labelsize=7)
    others = [list(enumerate(_with_gaps(curves[other]))) for other in methods]
    axes.add_collection(LineCollection(others, colors=FAINT, linewidths=0.7, zorder=1), autolim=False)
    axes.plot([], [], color=FAINT, linewidth=0.7, label=OTHERS)
    for reference, line in LINES.items():
        if reference in curves:
            values = _with_gaps(curves[reference])
            axes.plot(range(len(values)), values, color=GREY, linestyle=line, linewidth=1.4, label=reference, zorder=2)
    if name:
        values = _with_gaps(curves[name])
        axes.plot(range(len(values)), values, "o-", color=BLUE, markersize=3, label=SHOWN, zorder=3)
        axes.set_title(name, fontsize=8, pad=2)


def _with_gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
