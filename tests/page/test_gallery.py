import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.page.build import IMAGES
from unlearning.data.manifest import Manifest
from unlearning.figures.tsne import nearest_classes
from unlearning.page import gallery as module
from unlearning.page.gallery import LOSSLESS, SIDE, SPAN, Gallery, class_centres, data_uri, gallery, nearest_kept, plane
from unlearning.params import Figures

N = 6 * IMAGES
FIGURES = Figures(models=[], forget_class=None, queries=1, neighbours=3, photos=True, seed=0)


def features() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(N, 5, generator=random) for name in ("original", "retrained", "cu")}


def picture(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_each_erased_class_has_its_images_with_what_each_model_finds_alike(manifest: Manifest) -> None:
    found = gallery(features(), torch.arange(N) % 6, torch.arange(N), FIGURES, manifest)
    assert [one.label for one in found.classes] == [1, 4]
    assert (found.gold, found.models, found.left_out) == ("retrained", ["original", "retrained", "cu"], 0)
    for one in found.classes:
        for query in one.queries:
            assert query.picture % 6 == one.label
            assert all(len(places) == 3 and query.picture not in places for places in query.found.values())
    shown = {
        place
        for one in found.classes
        for query in one.queries
        for places in ([query.picture], *query.found.values())
        for place in places
    }
    assert set(found.pictures) == set(found.labels) == shown
    assert all((picture(uri) == place % 6).all() for place, uri in found.pictures.items())  # pixels name the class
    assert all(label == place % 6 for place, label in found.labels.items())


def test_photos_are_there_only_when_asked_for_and_drawings_always(manifest: Manifest) -> None:
    def pictures(source: str, **changes: object) -> int:
        figures, of = FIGURES.model_copy(update=changes), replace(manifest, source=source)
        return len(gallery(features(), torch.arange(N) % 6, torch.arange(N), figures, of).pictures)

    assert pictures("image_folder") > 10
    assert pictures("image_folder", photos=False) == 0
    assert pictures("digits", photos=False) == pictures("image_folder")
    assert pictures("digits", queries=0) == pictures("image_folder", queries=0) == 0


def test_names_stand_where_photos_are_left_out_and_nothing_where_none_are_asked_for(manifest: Manifest) -> None:
    def of(**changes: object) -> Gallery:
        figures = FIGURES.model_copy(update=changes)
        return gallery(features(), torch.arange(N) % 6, torch.arange(N), figures, manifest)

    named, shown, nothing = of(photos=False), of(), of(queries=0)
    assert (named.shown, shown.shown, nothing.shown) == ("names", "pictures", "nothing")
    assert named.labels == shown.labels
    assert [one.queries for one in named.classes] == [one.queries for one in shown.classes]
    assert [one.map for one in nothing.classes] == [one.map for one in shown.classes]
    assert [one.queries for one in nothing.classes] == [[], []]


def test_a_map_has_the_class_and_those_nearest_to_it(manifest: Manifest) -> None:
    one = gallery(features(), torch.arange(N) % 6, torch.arange(N), FIGURES, manifest).classes[0]
    assert set(one.map.labels) == {1, 0, 2, 3, 5}
    assert all(len(x) == len(y) == len(one.map.labels) for x, y in one.map.points.values())


def test_the_nearest_classes_are_those_of_the_figure(manifest: Manifest) -> None:
    labels, values = torch.arange(N) % 6, features()["original"]
    found = nearest_kept(class_centres(values, labels), 1, manifest.forget_classes)
    assert found == nearest_classes(values, labels, [1], manifest.forget_classes)
    assert nearest_kept(class_centres(values, labels), 1, list(range(6))) == []


def test_classes_beyond_the_room_are_counted(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gallery(features(), torch.arange(N) % 6, torch.arange(N), FIGURES, manifest)
    size = sum(map(len, whole.pictures.values())) + sum(2 * 4 * len(one.map.labels) * 7 for one in whole.classes)
    monkeypatch.setattr(module, "ROOM", size // 3)
    less = gallery(features(), torch.arange(N) % 6, torch.arange(N), FIGURES, manifest)
    assert [one.label for one in less.classes] == [1]
    assert less.left_out == 1
    assert set(less.labels) == set(less.pictures)


def test_a_class_without_test_images_has_no_pictures(manifest: Manifest) -> None:
    labels = torch.arange(N) % 6
    labels[labels == 4] = 0
    assert [one.label for one in gallery(features(), labels, torch.arange(N), FIGURES, manifest).classes] == [1]
    labels[labels == 1] = 0
    assert gallery(features(), labels, torch.arange(N), FIGURES, manifest).classes == []


def test_small_pictures_are_exact_and_large_ones_scaled() -> None:
    small = np.random.default_rng(0).integers(0, 256, (LOSSLESS, 20, 3), dtype=np.uint8)
    assert (picture(data_uri(small)) == small).all()
    large = picture(data_uri(np.full((224, 112, 3), 100, dtype=np.uint8)))
    assert large.shape == (SIDE, SIDE // 2, 3)
    assert abs(int(large.mean()) - 100) <= 1


def test_a_plane_keeps_two_directions_in_their_proportion() -> None:
    square = torch.tensor([[0.0, 0.0, 5.0], [4.0, 0.0, 5.0], [4.0, 2.0, 5.0], [0.0, 2.0, 5.0]])
    x, y = plane(square)
    assert (max(x) - min(x), max(y) - min(y)) == (SPAN, pytest.approx(SPAN / 2, abs=1))
    assert plane(torch.ones(3, 4)) == [[0, 0, 0], [0, 0, 0]]
    assert len(plane(torch.tensor([[1.0], [2.0], [3.0]]))) == 2
