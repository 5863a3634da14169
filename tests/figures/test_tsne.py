from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.figures.edges import nothing_touches_the_edge
from unlearning.data.manifest import Manifest
from unlearning.figures.tsne import FORGOTTEN, PER_CLASS, draw_tsne, embed, nearest_classes, shown_samples, title_of


@pytest.fixture
def labels(manifest: Manifest) -> Tensor:
    return torch.from_numpy(manifest.splits["test"].labels)


def features_of(labels: Tensor, seed: int = 0) -> Tensor:
    """Return features (n, 8) around one centre a class."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(6, 8, generator=generator)
    return centres[labels] + 0.1 * torch.randn(len(labels), 8, generator=generator)


def test_nearest_classes_are_retained_ones_by_the_cosine_of_their_means(labels: Tensor) -> None:
    angles = {0: 0.9, 1: 0.0, 2: 0.2, 3: 0.5, 4: 0.05, 5: 1.4}  # class 1 is asked for, class 4 is forgotten too
    directions = torch.tensor([[np.cos(angles[label]), np.sin(angles[label])] for label in range(6)])
    lengths = torch.arange(1, 7)[:, None]  # no matter
    assert nearest_classes((directions * lengths)[labels], labels, [1], [1, 4]) == [2, 3, 0, 5]


def test_with_several_classes_to_forget_the_nearest_to_any_of_them_are_shown() -> None:
    labels = torch.arange(5)
    angles = torch.tensor([0.0, 1.5, 1.4, 0.3, 0.75])  # 2 is near to 1, 3 to 0, and 4 to none
    features = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert nearest_classes(features, labels, [0, 1], [0, 1]) == [2, 3, 4]
    assert nearest_classes(features, labels, [0], [0, 1]) == [3, 4, 2]


def test_at_most_nine_classes_are_shown() -> None:
    many = torch.arange(60) % 20
    assert len(nearest_classes(torch.randn(60, 4), many, [1], [1, 4])) == 9


def test_shown_samples_are_some_of_each_class_and_always_the_same() -> None:
    many = torch.arange(3 * (PER_CLASS + 10)) % 3
    chosen = shown_samples(many, [0, 2], seed=0)
    assert torch.bincount(many[chosen]).tolist() == [PER_CLASS, 0, PER_CLASS]
    assert chosen.tolist() == sorted(set(chosen.tolist())) == shown_samples(many, [0, 2], seed=0).tolist()
    assert chosen.tolist() != shown_samples(many, [0, 2], seed=1).tolist()


def test_embedding_keeps_clusters_apart_and_repeats_itself(labels: Tensor) -> None:
    features = features_of(labels)
    points = embed(features, seed=0)
    assert np.array_equal(points, embed(features, seed=0))
    assert np.isfinite(points).all()
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    assert (labels.numpy()[distances.argmin(axis=1)] == labels.numpy()).mean() > 0.9


@pytest.mark.parametrize("values", [torch.zeros(10, 3), torch.randn(4, 3)])
def test_constant_features_and_few_samples_can_be_embedded(values: Tensor) -> None:
    assert np.isfinite(embed(values, seed=0)).all()


def test_figure_has_a_panel_a_model_and_depends_on_its_features(
    manifest: Manifest, labels: Tensor, tmp_path: Path
) -> None:
    features = {name: features_of(labels, seed) for seed, name in enumerate(("original", "retrained", "cu"))}
    draw_tsne(features, labels, [1, 4], manifest, 0, tmp_path / "three")
    draw_tsne(features | {"cu": features["original"]}, labels, [1, 4], manifest, 0, tmp_path / "other")
    draw_tsne({name: features[name] for name in ("original", "cu")}, labels, [1, 4], manifest, 0, tmp_path / "two")
    three, other, two = (Image.open(tmp_path / name) for name in ("three", "other", "two"))
    assert three.format == "PNG"
    assert three.size[0] > two.size[0]
    assert three.size == other.size
    assert not np.array_equal(np.asarray(three), np.asarray(other))


def colours_of(path: Path) -> int:
    """Return how many of the colours of classes to forget are in a picture."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    wanted = [tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5)) for _, _, colour in FORGOTTEN]
    return sum(bool((pixels == colour).all(axis=1).any()) for colour in wanted)


def test_each_class_to_forget_has_a_colour_of_its_own(manifest: Manifest, labels: Tensor, tmp_path: Path) -> None:
    features = {"original": features_of(labels)}
    draw_tsne(features, labels, [1, 4], manifest, 0, tmp_path / "two")
    draw_tsne(features, labels, [4], manifest, 0, tmp_path / "one")
    assert (colours_of(tmp_path / "one"), colours_of(tmp_path / "two")) == (1, 2)


def test_the_title_says_how_many_of_the_classes_to_forget_are_shown_where_it_is_not_all() -> None:
    assert "to forget" not in title_of(2, 2)
    assert title_of(5, 12).endswith("; 5 of the 12 classes to forget")


@pytest.mark.parametrize("models", [1, 4])
def test_twelve_classes_to_forget_with_long_names_are_drawn_and_nothing_is_cut_off(
    manifest: Manifest, models: int, tmp_path: Path
) -> None:
    many = torch.arange(24 * 6) % 24
    features = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))[many]
    features = features + 0.1 * torch.randn(len(many), 8, generator=torch.Generator().manual_seed(1))
    named = replace(manifest, classes=[f"{label:02d}" * 20 for label in range(24)], forget_classes=list(range(12)))
    shown = dict.fromkeys(("original", "b", "c", "d")[:models], features)
    draw_tsne(shown, many, list(range(12)), named, 0, tmp_path / "figure")
    assert colours_of(tmp_path / "figure") == len(FORGOTTEN)
    assert nothing_touches_the_edge(tmp_path / "figure")
