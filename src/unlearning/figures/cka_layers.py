"""CKA to the original model, layer by layer (paper Figure 2)."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be chosen first

from unlearning.params import REFERENCES  # noqa: E402

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe-Ito, colour-blind-safe
MARKERS = "osD^vP*X<>hd"
DPI = 200


def draw_cka_layers(cka: dict[str, dict[str, float]], path: Path) -> None:
    """Draw {model: {layer: percent}} as one line a model into a PNG; the references are grey."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    methods = [name for name in cka if name not in REFERENCES]
    for name, values in cka.items():
        if name in REFERENCES:
            style: dict[str, Any] = {"color": "0.5", "linestyle": "--" if name == "retrained" else ":", "marker": "."}
        else:
            number = methods.index(name)
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(list(values), list(values.values()), label=name, markersize=5, **style)
    axes.set(xlabel="layer, from input to output", ylabel="linear CKA to the original (%)", ylim=(0, 105))
    axes.set_title("Test images of the forgotten classes", fontsize=10)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)
