"""Pictures for the reader to choose from: what each model finds most alike to images of an erased class, and a map."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Manifest
from unlearning.figures.pictures import may_be_shown, test_pictures
from unlearning.figures.retrieval import choose_queries, nearest
from unlearning.figures.tsne import NEIGHBOURS
from unlearning.params import Figures

QUERIES = 2  # images of each erased class
SIDE = 56  # px of a picture, at most
LOSSLESS = 32  # px: pictures up to it stay as they are
POINTS = 25  # of a class on a map
SPAN = 999  # coordinates of a map are integers from 0 to it
Shown = Literal["pictures", "names", "nothing"]  # of the nearest images
ROOM = 2_000_000  # bytes of all pictures and maps: classes beyond it are left out, and the page says how many


@dataclass(frozen=True)
class Query:
    picture: int  # position in the test split
    found: dict[str, list[int]]  # {model: positions of the nearest images}


@dataclass(frozen=True)
class Map:
    """The test images of an erased class and the classes nearest to it, on two axes, one map a model."""

    labels: list[int]  # class of each point
    points: dict[str, list[list[int]]]  # {model: [x of each point, y of each]}


@dataclass(frozen=True)
class OfClass:
    label: int
    queries: list[Query]
    map: Map


@dataclass(frozen=True)
class Gallery:
    models: list[str]
    gold: str  # whose neighbours the others' are compared with
    shown: Shown
    classes: list[OfClass] = field(default_factory=list)
    pictures: dict[int, str] = field(default_factory=dict)  # {position in the test split: data URI}
    labels: dict[int, int] = field(default_factory=dict)  # {the same: class}
    left_out: int = 0  # erased classes with images for which there was no room


def gallery(
    features: Mapping[str, Tensor], labels: Tensor, positions: Tensor, figures: Figures, manifest: Manifest
) -> Gallery:
    """Return the pictures and maps of as many erased classes as there is room for, in the order of the classes.

    features: {model: (n, d)} of the same test images, the original's among them; labels and positions (within the test
    split): int64 (n,). Without figures.photos there are no pictures of photos, without figures.queries none at all.
    """
    gold = "retrained" if "retrained" in features else "original"
    there = [label for label in manifest.forget_classes if bool((labels == label).any())]
    centres = class_centres(features["original"], labels)
    known = dict(zip(positions.tolist(), labels.tolist(), strict=True))
    found = Gallery(list(features), gold, shown(figures, manifest))
    room = ROOM
    for number, label in enumerate(there):
        near = nearest_kept(centres, label, manifest.forget_classes)
        one = _of_class(label, near, features, labels, positions, figures)
        new = [place for place in _places(one) if place not in found.labels]
        pictures = pictures_of(new, manifest) if found.shown == "pictures" else {}
        room -= sum(map(len, pictures.values())) + _size(one.map)
        if room < 0:
            return replace(found, left_out=len(there) - number)
        found.classes.append(one)
        found.pictures.update(pictures)
        found.labels.update({place: known[place] for place in new})
    return found


def shown(figures: Figures, manifest: Manifest) -> Shown:
    """Return what of the nearest images may stand in the page."""
    if figures.queries == 0:
        return "nothing"
    return "pictures" if may_be_shown(manifest.source, figures.photos) else "names"


def pictures_of(positions: list[int], manifest: Manifest) -> dict[int, str]:
    """Return {position in the test split: data URI}."""
    return dict(zip(positions, map(data_uri, test_pictures(manifest, positions)), strict=True))


def class_centres(features: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """Return the mean feature (d,) of each class that is there: features (n, d), labels int64 (n,)."""
    classes, places = labels.unique(return_inverse=True)
    sums = torch.zeros(len(classes), features.shape[1]).index_add_(0, places, features.float())
    means = sums / places.bincount()[:, None]
    return dict(zip(classes.tolist(), means, strict=True))


def nearest_kept(centres: Mapping[int, Tensor], label: int, erased: list[int]) -> list[int]:
    """Return the classes to keep whose centres are nearest to a class's, by cosine, the nearest first."""
    kept = [one for one in centres if one not in set(erased)]
    if not kept:
        return []
    alike = F.cosine_similarity(torch.stack([centres[one] for one in kept]), centres[label][None])
    return [kept[place] for place in alike.argsort(descending=True, stable=True)[:NEIGHBOURS].tolist()]


def data_uri(pixels: np.ndarray) -> str:
    """Return a picture, uint8 (H, W, 3), as an address that holds it: small ones exactly, larger ones scaled."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    exact = max(picture.size) <= LOSSLESS
    picture.thumbnail((SIDE, SIDE))
    kind, options = ("png", {"optimize": True}) if exact else ("jpeg", {"quality": 80})
    written = io.BytesIO()
    picture.save(written, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode()}"


def plane(features: Tensor) -> list[list[int]]:
    """Return the two leading principal components of features (n, d) as [x, y], integers from 0 to SPAN."""
    centred = (features - features.mean(dim=0)).double()
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    scores = centred @ directions[:2].T
    low, high = scores.min(), scores.max()
    scaled = (scores - low) / (high - low).clamp(min=torch.finfo(torch.float64).eps) * SPAN
    axes = scaled.round().long().T.tolist()
    return axes if len(axes) == 2 else [*axes, [0] * len(features)]


def _of_class(
    label: int,
    near: list[int],
    features: Mapping[str, Tensor],
    labels: Tensor,
    positions: Tensor,
    figures: Figures,
) -> OfClass:
    places, neighbours = positions.tolist(), figures.neighbours
    queries = [
        Query(
            places[query],
            {model: [places[one] for one in nearest(values, query, neighbours)] for model, values in features.items()},
        )
        for query in choose_queries(labels, [label], label, QUERIES if figures.queries else 0, figures.seed)
    ]
    mapped = torch.cat([torch.nonzero(labels == one).flatten()[:POINTS] for one in [label, *near]])
    return OfClass(
        label,
        queries,
        Map(labels[mapped].tolist(), {model: plane(values[mapped]) for model, values in features.items()}),
    )


def _places(one: OfClass) -> Iterator[int]:
    """Yield the position of each image that is asked for or found, once."""
    yield from dict.fromkeys(
        place for query in one.queries for places in ([query.picture], *query.found.values()) for place in places
    )


def _size(one: Map) -> int:
    """Return about how many bytes a map takes in the page."""
    return 4 * len(one.labels) * (1 + 2 * len(one.points))
