"""Whether a figure shows all of what was drawn."""

from pathlib import Path

import numpy as np
from PIL import Image


def nothing_touches_the_edge(path: Path) -> bool:
    """Return whether the outermost pixels of a picture are white: what is cut off reaches them."""
    pixels = np.asarray(Image.open(path).convert("L"))
    return bool(min(pixels[0].min(), pixels[-1].min(), pixels[:, 0].min(), pixels[:, -1].min()) == 255)
