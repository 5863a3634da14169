from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from tests.figures.edges import nothing_touches_the_edge
from unlearning.figures.cka_layers import draw_cka_layers
from unlearning.figures.panels import COLUMNS, draw_panels
from unlearning.figures.relearn import draw_prototypes, draw_relearning
from unlearning.figures.style import BLUE

TICKS = ["layer1", "layer2", "layer3.0", "penultimate"]
CURVES = {
    "original": dict.fromkeys(TICKS, 100.0),
    "retrained": dict(zip(TICKS, [95.0, 80.0, 40.0, 10.0], strict=True)),
    "cu": dict(zip(TICKS, [99.0, 97.0, 90.0, 20.0], strict=True)),
}
Draw = Callable[[dict[str, dict[str, float]], Path], None]


@pytest.fixture(params=[draw_cka_layers, draw_relearning, draw_prototypes])
def draw(request: pytest.FixtureRequest) -> Draw:
    return request.param


def test_picture_is_a_png_of_200_dpi(draw: Draw, tmp_path: Path) -> None:
    draw(CURVES, tmp_path / "figure")  # no ending: `write_atomically` gives a temporary name
    with Image.open(tmp_path / "figure") as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.01)  # PNG counts whole pixels a metre


def test_equal_input_gives_equal_bytes(draw: Draw, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(CURVES, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_changed_value_changes_the_picture(draw: Draw, tmp_path: Path) -> None:
    changed = CURVES | {"cu": CURVES["cu"] | {"layer2": 60.0}}
    draw(CURVES, tmp_path / "a.png")
    draw(changed, tmp_path / "b.png")
    pixels = [np.asarray(Image.open(tmp_path / name)) for name in ("a.png", "b.png")]
    assert not np.array_equal(*pixels)


def test_references_alone_can_be_drawn(draw: Draw, tmp_path: Path) -> None:
    draw({name: CURVES[name] for name in ("original", "retrained")}, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_no_figure_stays_open(draw: Draw, tmp_path: Path) -> None:
    before = plt.get_fignums()
    draw(CURVES, tmp_path / "a.png")
    assert plt.get_fignums() == before


def lists(count: int) -> dict[str, list[float]]:
    methods = {f"method{number}": [float(number), 50.0] for number in range(count)}
    return {"original": [100.0, 100.0], "retrained": [90.0, 10.0], **methods}


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1, 17])
def test_each_method_has_one_panel_with_its_line_in_front_and_both_references(count: int) -> None:
    curves = lists(count)
    figure = draw_panels(curves, ["a", "b"], "x", "y", "title")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == list(curves)[2:]
    for axes in panels:
        drawn = {
            line.get_label(): list(line.get_ydata()) for line in axes.lines if not line.get_label().startswith("_")
        }
        assert drawn["the method"] == curves[axes.get_title()]
        assert (drawn["original"], drawn["retrained"]) == (curves["original"], curves["retrained"])
        front = max(axes.lines, key=lambda line: line.get_zorder())
        assert to_rgb(front.get_color()) == to_rgb(BLUE)


def test_axes_are_named_and_share_their_scale_in_percent() -> None:
    figure = draw_panels(lists(7), ["a", "b"], "layer", "CKA (%)", "title")
    assert (figure.get_supxlabel(), figure.get_supylabel(), figure.get_suptitle()) == ("layer", "CKA (%)", "title")
    assert {axes.get_ylim() for axes in figure.axes} == {(-3.0, 103.0)}
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize("count", [1, 2, 3, 18])
def test_no_label_title_or_legend_is_cut_off(draw: Draw, count: int, tmp_path: Path) -> None:
    curves = dict.fromkeys(("original", "retrained", "short_run", *map(str, range(count))), CURVES["cu"])
    draw(curves, tmp_path / "figure")
    assert nothing_touches_the_edge(tmp_path / "figure")
