"""The page as text: templates filled, styles and scripts inlined, so that it opens from disk and asks for nothing."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from unlearning.page.content import Content
from unlearning.page.gallery import Shown
from unlearning.page.pictured import TITLE, as_mark

HERE = Path(__file__).parent
TITLES = {
    "outputs": "In the outputs",
    "features": "In the features",
    "attack": "Under attack",
    "floor": "Beside retraining",
    "utility": "Utility",
}
SAYS = {
    "gone": "no more than untaught",
    "left": "more than untaught",
    "as before": "as in the original",
    "unclear": "above, not for certain",
    "blind": "cannot see the difference here",
    "no floor": "nothing to read it by",
}
NEAREST: dict[Shown, str] = {
    "pictures": "",
    "names": (
        "Photos are left out, and names of classes stand for them. To have them here, set figures.photos: true in "
        "params.yaml and run dvc repro: then photos of the erased classes lie in this file, wherever it goes."
    ),
    "nothing": "No image was asked for: figures.queries is 0 in params.yaml.",
}
SCRIPTS = ("plotly-basic.min.js", "terms.js", "tables.js", "charts.js", "choices.js")


def render(content: Content) -> str:
    """Return the page as HTML."""
    template = _environment().get_template("page.html.j2")
    return template.render(
        page=content,
        title=TITLE,
        pictured=as_mark(content.pictured),
        nearest=NEAREST,
        questions=content.words.questions,
        titles=TITLES,
        asks=content.words.asks,
        says=SAYS,
        style=Markup(_asset("page.css")),
        scripts=[Markup(_asset(name)) for name in SCRIPTS],
        data=as_script(content.data),
    )


def as_script(value: Any) -> Markup:
    """Return JSON that can stand within <script>: no text in it, a class's name say, can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    return (HERE / "assets" / name).read_text(encoding="utf-8")
