from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from unlearning.data.manifest import Manifest, Split
from unlearning.figures.pictures import test_pictures as pictures_of
from unlearning.figures.retrieval import FONT, INCH, LINES, below_picture, choose_queries, draw_retrieval, nearest
from unlearning.figures.style import DPI


@pytest.fixture
def labels(manifest: Manifest) -> Tensor:
    return torch.from_numpy(manifest.splits["test"].labels)


def test_nearest_are_by_cosine_best_first_without_the_query() -> None:
    angles = torch.tensor([0.0, 0.3, 3.0, 0.1, -0.2, 1.0])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([1.0, 9, 1, 0.1, 5, 2])[:, None]
    assert nearest(features, 0, 3) == [3, 4, 1]
    assert nearest(features, 0, 99) == [3, 4, 1, 5, 2]


def test_queries_are_of_different_forgotten_classes_beginning_with_the_first(labels: Tensor) -> None:
    queries = choose_queries(labels, [1, 4], first=4, count=5, seed=0)
    assert labels[queries].tolist() == [4, 1, 4, 1, 4]
    assert len(set(queries)) == 5
    assert queries == choose_queries(labels, [1, 4], first=4, count=5, seed=0)
    assert len(choose_queries(labels, [1, 4], first=1, count=99, seed=0)) == 16  # all there are


def test_pictures_of_a_resident_split_are_its_pixels_in_colour(manifest: Manifest) -> None:
    first, second = pictures_of(manifest, [7, 3])
    assert first.shape == (8, 8, 3)
    assert (np.unique(first).tolist(), np.unique(second).tolist()) == ([7], [3])


def test_pictures_of_a_split_without_a_class_are_those_of_its_own_images(manifest: Manifest) -> None:
    whole = manifest.splits["test"]
    cut = replace(manifest, splits={"train": whole, "test": whole}).without([0])
    shown = [int(picture.max()) for picture in pictures_of(cut, list(range(len(cut.splits["test"].labels))))]
    assert shown == [place for place, label in enumerate(whole.labels) if label != 0]  # each image is its place's shade


def test_pictures_of_a_streamed_split_are_read_from_its_files_at_the_models_size(
    manifest: Manifest, tmp_path: Path
) -> None:
    for number, colour in enumerate([(255, 0, 0), (0, 0, 255)]):
        Image.new("RGB", (20, 16), colour).save(tmp_path / f"{number}.png")
    splits = {"test": Split(["0.png", "1.png"], np.array([0, 1]))}
    streamed = replace(manifest, root=str(tmp_path), splits=splits, channels=3)
    (picture,) = pictures_of(streamed, [1])
    assert picture.shape == (8, 8, 3)
    assert picture[4, 4].tolist() == [0, 0, 255]


def test_figure_has_a_row_a_query_and_model_and_frames_that_tell_agreement(
    manifest: Manifest, labels: Tensor, tmp_path: Path
) -> None:
    features = {name: torch.randn(48, 6, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("ab")}
    features = {"original": features["a"], "retrained": features["b"], "cu": features["b"]}
    draw_retrieval(features, labels, torch.arange(48), [1, 4], 5, manifest, True, tmp_path / "two")
    draw_retrieval(features, labels, torch.arange(48), [1], 5, manifest, True, tmp_path / "one")
    disagreeing = features | {"cu": features["original"]}
    draw_retrieval(disagreeing, labels, torch.arange(48), [1], 5, manifest, True, tmp_path / "other")
    two, one, other = (Image.open(tmp_path / name).convert("RGB") for name in ("two", "one", "other"))
    assert two.size[1] > 1.5 * one.size[1]
    blue = (0x00, 0x72, 0xB2)
    counts = [(np.asarray(picture) == blue).all(axis=2).sum() for picture in (one, other)]
    assert counts[0] > 1000 > counts[1]  # cu agrees with the retrained model in the first only


def test_fewer_images_than_neighbours_leave_cells_empty(manifest: Manifest, labels: Tensor, tmp_path: Path) -> None:
    features = {name: torch.randn(4, 3) for name in ("original", "retrained")}
    draw_retrieval(features, labels[:4], torch.arange(4), [1], 5, manifest, True, tmp_path / "few")
    assert Image.open(tmp_path / "few").format == "PNG"


def test_photos_are_shown_only_when_asked_for_and_drawings_always(
    manifest: Manifest, labels: Tensor, tmp_path: Path
) -> None:
    features = {name: torch.randn(48, 6, generator=torch.Generator().manual_seed(1)) for name in ("original", "cu")}
    marked = replace(manifest, source="image_folder")
    np.save("data/split/test.npy", np.full((48, 1, 8, 8), 77, dtype=np.uint8))

    def shown(source: str, photos: bool) -> bool:
        path = tmp_path / "figure.png"
        draw_retrieval(features, labels, torch.arange(48), [1, 4], 5, replace(marked, source=source), photos, path)
        return bool((np.asarray(Image.open(path).convert("RGB")) == 77).all(axis=2).sum() > 1000)

    assert [shown("image_folder", False), shown("image_folder", True), shown("digits", False)] == [False, True, True]


@pytest.mark.parametrize(
    "name",
    ["query: " + "a long class name of 40 letters, no. 0012", "n02099601_golden_retriever_of_the_north_1", "W" * 5]
    + ["averyveryverylongunbrokenclassname000123"],
)
def test_a_long_name_stays_below_its_picture(name: str) -> None:
    lines = below_picture(name)
    assert lines.count("\n") < LINES
    figure = Figure(dpi=DPI)
    inches = figure.text(0, 0, lines, fontsize=FONT).get_window_extent().width / DPI
    assert inches <= INCH


def test_names_that_differ_in_their_ends_alone_stay_apart() -> None:
    assert below_picture("the same words for a long while, then a") != below_picture(
        "the same words for a long while, then b"
    )
    assert below_picture("golden_retriever") == "golden_\nretriever"
    assert below_picture("7") == "7"
