"""CKA to the original model, layer by layer (paper Figure 2)."""

from pathlib import Path

from unlearning.figures.panels import draw_panels
from unlearning.figures.style import save


def draw_cka_layers(cka: dict[str, dict[str, float | None]], path: Path) -> None:
    """Draw {model: {layer: percent, None = a gap}} into a PNG, a panel a method."""
    layers = list(next(iter(cka.values())))
    curves = {name: list(values.values()) for name, values in cka.items()}
    title = "Test images of the forgotten classes"
    save(draw_panels(curves, layers, "layer, from input to output", "linear CKA to the original (%)", title), path)
