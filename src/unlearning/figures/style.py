"""How every figure looks: colours that colour-blind eyes tell apart, size, resolution, and how it is saved."""

import textwrap
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
LETTER = 0.58  # width of an average letter, in sizes of its font
POINT = 1 / 72  # inches


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; the same figure gives the same bytes."""
    figure.savefig(path, dpi=DPI, format="png", metadata={"Software": None})


def save_text(text: str, path: Path) -> None:
    """Write a PNG that says why there is nothing to draw."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
    save(figure, path)


def wrapped(text: str, inches: float, points: float) -> str:
    """Return a text in as many lines as it needs to be no wider than this, in a font of this size."""
    return textwrap.fill(text, max(1, int(inches / (LETTER * points * POINT))))


def legend_columns(names: list[str], inches: float, points: float) -> int:
    """Return how many columns of a legend of these names fit into this width, in a font of this size; five at most."""
    longest = (max(map(len, names)) * LETTER + 5) * points * POINT  # 5: the sign, and the space around it
    return max(1, min(5, len(names), int(inches / longest)))


def shortened(name: str, longest: int) -> str:
    """Return a name of at most `longest` letters: its middle is left out, as names often differ in their ends."""
    if len(name) <= longest:
        return name
    end = (longest - 1) // 2
    return f"{name[: longest - 1 - end]}…{name[len(name) - end :]}"


def plain(axes: Axes) -> None:
    """Leave out what carries nothing: the frame's upper and right side; a light grid helps to read values."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
