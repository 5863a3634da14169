"""How every figure looks: colours that colour-blind eyes tell apart, size, resolution, and how it is saved."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("Agg")

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip # Okabe and Ito
GREY = "0.55"
DPI = 200  # readable in print


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; the same figure gives the same bytes."""
    figure.savefig(path, dpi=DPI, format="png", metadata={"Software": None})


def save_text(text: str, path: Path) -> None:
    """Write a PNG that says why there is nothing to draw."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
    save(figure, path)


def plain(axes: Axes) -> None:
    """Leave out what carries nothing: the frame's upper and right side; a light grid helps to read values."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
