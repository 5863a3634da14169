"""t-SNE of the penultimate features: one forgotten class among the retain classes nearest to it (paper Figure 3)."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Manifest
from unlearning.figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW, save
from unlearning.seeds import derive_seed

NEIGHBOURS = 9  # retain classes shown (paper Figure 3)
PER_CLASS = 50  # images at most: enough to see a cluster, few enough to see each point
PERPLEXITY = 30.0
COLOURS = (
    BLUE,
    ORANGE,
    GREEN,
    SKY,
    PURPLE,
    YELLOW,
    BLACK,
    "#8c510a",
    "#999999",
)  # of the retain classes; the star is red
Features = dict[str, Tensor]  # model: (n, d), of the same samples; "original" among them


def draw_tsne(features: Features, labels: Tensor, forget_class: int, manifest: Manifest, seed: int, path: Path) -> None:
    """Draw a panel a model into a PNG: the forget class as stars, its nearest retain classes as circles.

    labels int64 (n,). The same images, classes, colours and seed in every panel.
    """
    classes = nearest_classes(features["original"], labels, forget_class, manifest.forget_classes)
    shown = shown_samples(labels, [forget_class, *classes], seed)
    figure = Figure(figsize=(2.3 * len(features) + 0.2, 3.2))
    grid = figure.subplots(1, len(features), squeeze=False)[0]
    figure.subplots_adjust(0.02, 0.2, 0.98, 0.84, wspace=0.06)
    for axes, (name, values) in zip(grid, features.items(), strict=True):
        _draw_panel(axes, embed(values[shown], seed), labels[shown], forget_class, classes, manifest)
        axes.set_title(name, fontsize=9)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=5, fontsize=7, frameon=False, handletextpad=0.2)
    figure.suptitle("t-SNE of the penultimate features, test images", fontsize=10)
    save(figure, path)


def nearest_classes(features: Tensor, labels: Tensor, forget_class: int, forget_classes: list[int]) -> list[int]:
    """Return the (at most nine) retain classes whose mean feature is nearest to the forget class's, by cosine."""
    retain = [label for label in labels.unique().tolist() if label not in forget_classes]
    centre = features[labels == forget_class].mean(dim=0)
    means = torch.stack([features[labels == label].mean(dim=0) for label in retain])
    order = F.cosine_similarity(means, centre[None], dim=1).argsort(descending=True, stable=True)
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
    axes: Axes, points: np.ndarray, labels: Tensor, forget_class: int, classes: list[int], manifest: Manifest
) -> None:
    for colour, label in zip(COLOURS, classes, strict=False):
        of_class = points[(labels == label).numpy()]
        axes.scatter(
            of_class[:, 0], of_class[:, 1], s=9, color=colour, linewidths=0, alpha=0.8, label=manifest.classes[label]
        )
    stars = points[(labels == forget_class).numpy()]
    name = f"{manifest.classes[forget_class]} (to forget)"
    axes.scatter(
        stars[:, 0],
        stars[:, 1],
        s=34,
        marker="*",
        color=VERMILION,
        edgecolors=BLACK,
        linewidths=0.3,
        label=name,
        zorder=3,
    )
    axes.set(xticks=[], yticks=[])  # t-SNE's coordinates have no meaning
