from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unlearning.data.manifest import Manifest
from unlearning.figures.tsne import PER_CLASS, draw_tsne, embed, nearest_classes, shown_samples


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
    assert nearest_classes((directions * lengths)[labels], labels, 1, [1, 4]) == [2, 3, 0, 5]


def test_at_most_nine_classes_are_shown() -> None:
    many = torch.arange(60) % 20
    assert len(nearest_classes(torch.randn(60, 4), many, 1, [1, 4])) == 9


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
    draw_tsne(features, labels, 1, manifest, 0, tmp_path / "three")
    draw_tsne(features | {"cu": features["original"]}, labels, 1, manifest, 0, tmp_path / "other")
    draw_tsne({name: features[name] for name in ("original", "cu")}, labels, 1, manifest, 0, tmp_path / "two")
    three, other, two = (Image.open(tmp_path / name) for name in ("three", "other", "two"))
    assert three.format == "PNG"
    assert three.size[0] > two.size[0]
    assert three.size == other.size
    assert not np.array_equal(np.asarray(three), np.asarray(other))
