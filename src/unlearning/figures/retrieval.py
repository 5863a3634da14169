"""What each model finds most alike to an image of a forgotten class (paper Figure 4)."""

import textwrap
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Manifest
from unlearning.figures.pictures import may_be_shown, pictures_or_none
from unlearning.figures.style import BLUE, LETTER, POINT, VERMILION, save, shortened
from unlearning.seeds import derive_seed

Features = dict[str, Tensor]  # model: (n, d), of the same test samples
INCH = 0.62  # of a cell; everything below is in cells
SIDE = 0.92  # of a picture
GAP = 0.25  # space between queries and after the query's picture
FONT = 5.5  # of the names below the pictures, points
LINE = 0.17  # height of a line of them
LETTERS = int(INCH / (LETTER * FONT * POINT))  # in such a line
LINES = 3  # at most; longer names are shortened
TITLE = "Nearest test images by cosine of the penultimate features{note}\n"
NOT_SHOWN = "\n(figures.photos: false, names alone)"
FRAMES = "solid blue: the {gold} model retrieves it too; dashed red: it does not"
LEFT, TOP = 1.5, 0.9  # room for the models' names, and for the title


def draw_retrieval(
    features: Features,
    labels: Tensor,
    positions: Tensor,
    queries: list[int],
    neighbours: int,
    manifest: Manifest,
    photos: bool,
    path: Path,
) -> None:
    """Draw a block a query into a PNG: a row a model with the query and its nearest test images, named by class.

    labels and positions (within the test split): int64 (n,); queries: numbers of samples among the n. A solid blue
    frame marks what the retrained model (without one: the original) retrieves too, a dashed red one what it does not.
    photos: whether photos may be shown; names of classes stand alone otherwise.
    """
    reference = "retrained" if "retrained" in features else "original"
    width = LEFT + neighbours + 1 + 2 * GAP
    names = {label: below_picture(manifest.classes[label]) for label in labels.unique().tolist()}
    asked = {query: below_picture(f"query: {manifest.classes[int(labels[query])]}") for query in queries}
    row = SIDE + 0.13 + LINE * max(name.count("\n") + 1 for name in [*names.values(), *asked.values()])
    height = TOP + len(queries) * (row * len(features) + GAP)
    figure = Figure(figsize=(INCH * width, INCH * height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    title = TITLE.format(note="" if may_be_shown(manifest.source, photos) else NOT_SHOWN)
    axes.text(width / 2, 0.1, title + FRAMES.format(gold=reference), fontsize=8, ha="center", va="top")
    top = TOP
    for query in queries:
        gold = set(nearest(features[reference], query, neighbours))
        for model, values in features.items():
            found = nearest(values, query, neighbours)
            pictures = pictures_or_none(manifest, positions[[query, *found]].tolist(), photos)
            axes.text(LEFT - 0.15, top + 0.5, model, fontsize=8, ha="right", va="center")
            for cell, (sample, picture) in enumerate(zip([query, *found], pictures, strict=True)):
                left = LEFT + cell + (GAP if cell else 0)
                _draw_picture(axes, picture, names[int(labels[sample])] if cell else asked[query], left, top)
                if cell and model != reference:
                    _frame(axes, left, top, agrees=sample in gold)
            top += row
        top += GAP
    save(figure, path)


def below_picture(name: str) -> str:
    """Return a name in lines no wider than a picture, broken behind words and underscores where there are."""
    words = shortened(name, LETTERS * LINES - 6).replace("_", "_ ")  # 6: room that breaking between words takes
    lines = textwrap.wrap(words, LETTERS, max_lines=LINES, placeholder="…")
    return "\n".join(line.replace("_ ", "_") for line in lines)


def nearest(features: Tensor, query: int, count: int) -> list[int]:
    """Return the `count` samples whose features (n, d) are most alike to the query's, by cosine, without the query."""
    similarity = F.normalize(features, dim=1) @ F.normalize(features[query], dim=0)
    similarity[query] = -torch.inf
    return similarity.argsort(descending=True, stable=True)[: min(count, len(features) - 1)].tolist()


def choose_queries(labels: Tensor, forget_classes: list[int], first: int, count: int, seed: int) -> list[int]:
    """Return `count` samples of forgotten classes, of different ones as far as there are, beginning with `first`."""
    random = np.random.default_rng(derive_seed(seed, "queries"))
    order = [first, *(label for label in forget_classes if label != first)]
    of_class = [random.permutation(np.flatnonzero(labels.numpy() == label)).tolist() for label in order]
    rounds = [samples[turn] for turn in range(count) for samples in of_class if turn < len(samples)]
    return rounds[:count]


def _draw_picture(axes: Axes, picture: np.ndarray, name: str, left: float, top: float) -> None:
    axes.imshow(picture, extent=(left, left + SIDE, top + SIDE, top), interpolation="nearest", aspect="auto")
    axes.text(left + SIDE / 2, top + SIDE + 0.04, name, fontsize=FONT, ha="center", va="top")


def _frame(axes: Axes, left: float, top: float, agrees: bool) -> None:
    colour, line = (BLUE, "-") if agrees else (VERMILION, "--")
    axes.add_patch(Rectangle((left, top), SIDE, SIDE, fill=False, linewidth=1.6, edgecolor=colour, linestyle=line))
