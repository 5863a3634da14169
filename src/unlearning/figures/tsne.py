"""t-SNE of the penultimate features: forgotten classes among the retain classes nearest to them (paper Figure 3)."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Manifest
from unlearning.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    legend_columns,
    save,
    shortened,
    wrapped,
)
from unlearning.seeds import derive_seed

NEIGHBOURS = 9  # retain classes shown (paper Figure 3)
PER_CLASS = 50  # images at most: enough to see a cluster, few enough to see each point
PERPLEXITY = 30.0
FORGOTTEN = (
    ("*", 34, VERMILION), ("D", 15, "#7f1d1d"), ("P", 24, "#f4a3a3"), ("^", 22, "#b2182b"), ("X", 24, "#ffd0b0"),
)  # fmt: skip # marker, its size and colour of each class to forget; more of them could not be told apart
COLOURS = (
    BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW, BLACK, "#8c510a", "#999999",
)  # fmt: skip # of the retain classes, which are circles
PANEL, NAME, BESIDE = 2.3, 0.3, 0.1  # inches: side of a panel, height of its name, space beside all panels
TITLE, LEGEND, LINE = 10, 7, 0.17  # sizes of the fonts, points; height of a line of the legend, inches
LONGEST = 28  # letters of a class name in the legend
Features = dict[str, Tensor]  # model: (n, d), of the same samples; "original" among them


def draw_tsne(
    features: Features, labels: Tensor, forgotten: list[int], manifest: Manifest, seed: int, path: Path
) -> None:
    """Draw a panel a model into a PNG: classes to forget in markers of their own, the nearest retain ones as circles.

    labels int64 (n,). forgotten: the classes to forget of which there are samples; the first ones are shown, as many as
    there are markers, and the title says how many of all. The same images, classes, colours and seed in every panel.
    """
    stars = forgotten[: len(FORGOTTEN)]
    circles = nearest_classes(features["original"], labels, stars, manifest.forget_classes)
    shown = shown_samples(labels, [*stars, *circles], seed)
    width = PANEL * len(features) + 2 * BESIDE
    title = wrapped(title_of(len(stars), len(manifest.forget_classes)), width, TITLE)
    names = {label: shortened(manifest.classes[label], LONGEST) for label in circles}
    names |= {label: f"{shortened(manifest.classes[label], LONGEST)} (to forget)" for label in stars}
    columns = legend_columns(list(names.values()), width, LEGEND)
    top, bottom = NAME + 0.05 + LINE * (title.count("\n") + 1), 0.15 + LINE * -(-len(names) // columns)
    height = PANEL + top + bottom
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(1, len(features), squeeze=False)[0]
    figure.subplots_adjust(BESIDE / width, bottom / height, 1 - BESIDE / width, 1 - top / height, wspace=0.06)
    for axes, (model, values) in zip(grid, features.items(), strict=True):
        _draw_panel(axes, embed(values[shown], seed), labels[shown], stars, circles, names)
        axes.set_title(model, fontsize=9)
    handles, texts = grid[0].get_legend_handles_labels()
    figure.legend(
        handles, texts, loc="lower center", ncols=columns, fontsize=LEGEND, frameon=False, handletextpad=0.2,
        borderaxespad=0.2,
    )  # fmt: skip
    figure.suptitle(title, fontsize=TITLE, y=1 - 0.06 / height, va="top")
    save(figure, path)


def title_of(shown: int, asked: int) -> str:
    """Return the title; where not all classes to forget are shown, it says how many of them are."""
    part = "" if shown == asked else f"; {shown} of the {asked} classes to forget"
    return f"t-SNE of the penultimate features, test images{part}"


def nearest_classes(features: Tensor, labels: Tensor, forgotten: list[int], forget_classes: list[int]) -> list[int]:
    """Return the (at most nine) retain classes nearest to one of `forgotten`: by the cosine of mean features."""
    retain = [label for label in labels.unique().tolist() if label not in forget_classes]
    centres = torch.stack([features[labels == label].mean(dim=0) for label in forgotten])
    means = torch.stack([features[labels == label].mean(dim=0) for label in retain])
    nearness = F.cosine_similarity(means[:, None], centres[None], dim=2).amax(dim=1)
    order = nearness.argsort(descending=True, stable=True)
    return [retain[position] for position in order[:NEIGHBOURS].tolist()]


def shown_samples(labels: Tensor, classes: list[int], seed: int) -> Tensor:
    """Return sorted positions of at most `PER_CLASS` samples of each class."""
    random = np.random.default_rng(derive_seed(seed, "t-SNE"))
    order = random.permutation(len(labels))
    chosen = [order[labels.numpy()[order] == label][:PER_CLASS] for label in classes]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def embed(features: Tensor, seed: int) -> np.ndarray:
    """Return the t-SNE of features (n, d) as (n, 2), n > 2; the same every time, and one point for equal features."""
    if (features == features[0]).all():  # scikit-learn's start, scaled by the spread, would be NaN, and it crashes
        return np.zeros((len(features), 2))
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    state = derive_seed(seed, "t-SNE") % 2**32
    tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", max_iter=500, random_state=state)
    embedded: np.ndarray = tsne.fit_transform(features.double().numpy())
    return embedded


def _draw_panel(
    axes: Axes, points: np.ndarray, labels: Tensor, stars: list[int], circles: list[int], names: dict[int, str]
) -> None:
    for colour, label in zip(COLOURS, circles, strict=False):
        x, y = points[(labels == label).numpy()].T
        axes.scatter(x, y, s=9, color=colour, linewidths=0, alpha=0.8, label=names[label])
    for (marker, size, colour), label in zip(FORGOTTEN, stars, strict=False):
        x, y = points[(labels == label).numpy()].T
        axes.scatter(
            x, y, s=size, marker=marker, color=colour, edgecolors=BLACK, linewidths=0.3, label=names[label], zorder=3
        )
    axes.set(xticks=[], yticks=[])  # t-SNE's coordinates have no meaning
