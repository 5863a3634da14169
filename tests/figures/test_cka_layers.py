from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from unlearning.figures.cka_layers import COLOURS, MARKERS, draw_cka_layers

LAYERS = ["layer1", "layer2", "layer3.0", "penultimate"]
CKA = {
    "original": dict.fromkeys(LAYERS, 100.0),
    "retrained": dict(zip(LAYERS, [95.0, 80.0, 40.0, 10.0], strict=True)),
    "cu": dict(zip(LAYERS, [99.0, 97.0, 90.0, 20.0], strict=True)),
}
ORANGE = (0xD5, 0x5E, 0x00)  # of the second method


def drawn(cka: dict[str, dict[str, float]], path: Path) -> np.ndarray:
    """Return the picture's pixels (H, W, 3)."""
    draw_cka_layers(cka, path)
    return np.asarray(Image.open(path).convert("RGB"))


def count(pixels: np.ndarray, colour: tuple[int, ...]) -> int:
    return int((pixels == colour).all(axis=2).sum())


def test_picture_is_a_png_of_seven_by_four_inches_at_200_dpi(tmp_path: Path) -> None:
    draw_cka_layers(CKA, tmp_path / "cka")  # no ending: `write_atomically` gives a temporary name
    with Image.open(tmp_path / "cka") as image:
        assert image.format == "PNG"
        assert image.size == (1400, 800)
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.01)  # PNG counts whole pixels a metre


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_cka_layers(CKA, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_changed_value_changes_the_picture(tmp_path: Path) -> None:
    changed = CKA | {"cu": CKA["cu"] | {"layer2": 60.0}}
    assert not np.array_equal(drawn(CKA, tmp_path / "a.png"), drawn(changed, tmp_path / "b.png"))


def test_each_method_has_a_colour_and_references_none(tmp_path: Path) -> None:
    assert count(drawn(CKA, tmp_path / "one.png"), ORANGE) == 0
    two = drawn(CKA | {"ec": dict.fromkeys(LAYERS, 50.0)}, tmp_path / "two.png")
    assert count(two, ORANGE) > 1000
    references = drawn({name: CKA[name] for name in ("original", "retrained")}, tmp_path / "grey.png")
    assert (references.max(axis=2) - references.min(axis=2)).max() == 0


def test_more_methods_than_colours_and_markers_are_drawn(tmp_path: Path) -> None:
    methods = {f"method{number}": CKA["cu"] for number in range(max(len(COLOURS), len(MARKERS)) + 1)}
    assert drawn(CKA | methods, tmp_path / "many.png").shape == (800, 1400, 3)


def test_no_figure_stays_open(tmp_path: Path) -> None:
    before = plt.get_fignums()
    draw_cka_layers(CKA, tmp_path / "a.png")
    assert plt.get_fignums() == before
