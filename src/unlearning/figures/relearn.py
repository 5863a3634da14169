"""How the forgotten classes come back from few of their images: by fine-tuning, and by imprinting alone."""

from pathlib import Path

from unlearning.figures.panels import draw_panels
from unlearning.figures.style import save

# {model: {images a class: test forget accuracy}}, "0" among the images; None without an image to ask
Attack = dict[str, dict[str, float | None]]


def draw_relearning(curves: Attack, path: Path) -> None:
    """Draw what comes back by fine-tuning into a PNG, a panel a method."""
    draw_attack(curves, "Relearning from few images, from the strongest start", path)


def draw_prototypes(curves: Attack, path: Path) -> None:
    """Draw what comes back by imprinted head rows into a PNG, a panel a method."""
    draw_attack(curves, "Head rows imprinted with the mean features of few images, nothing trained", path)


def draw_attack(curves: Attack, title: str, path: Path) -> None:
    """Draw one attack's curves into a PNG, a panel a method."""
    shots = list(next(iter(curves.values())))
    lines = {name: list(values.values()) for name, values in curves.items()}
    x_label = "training images of each forgotten class"
    save(draw_panels(lines, shots, x_label, "test accuracy on the forgotten classes (%)", title), path)
