"""How fast the forgotten classes come back by fine-tuning on few of their images."""

from pathlib import Path

from unlearning.figures.panels import draw_panels
from unlearning.figures.style import save


def draw_relearning(curves: dict[str, dict[str, float]], path: Path) -> None:
    """Draw {model: {images a class: test forget accuracy}}, "0" among the former, into a PNG, a panel a method."""
    shots = list(next(iter(curves.values())))
    lines = {name: list(values.values()) for name, values in curves.items()}
    title = "Relearning from few images"
    x_label = "training images of each forgotten class"
    save(draw_panels(lines, shots, x_label, "test accuracy on the forgotten classes (%)", title), path)
