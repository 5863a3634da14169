"""From a source to the split on disk: train / validation / test, pixels, normalisation, content hash."""

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from unlearning.data.file_stamps import By
from unlearning.data.images import read_all, stored
from unlearning.data.manifest import Manifest, Split
from unlearning.data.reading import Rules
from unlearning.data.stamps import content_of, stamp_files
from unlearning.data.value_range import Survey, survey
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import Samples, Source
from unlearning.splitting.request import Request, read_request

TOO_FEW = "the class {name!r} has {count} image(s), too few to split; add images"
MEASURED_SAMPLES = 10_000  # of the training split, enough for three digits of mean and std


@dataclass(frozen=True)
class Prepared:
    manifest: Manifest
    pixels: dict[str, Tensor]  # uint8 (N, C, H, W) per split; empty when images are streamed from files
    stamps: dict[str, np.ndarray]  # uint8 (N, 16) per split, of the files; empty when the pixels are held
    notes: list[str]  # how the images were read, for the user


@dataclass(frozen=True)
class Part:
    """A split, and which of its samples the training split has as well: {position: position there}."""

    samples: Samples
    borrowed: dict[int, int] = field(default_factory=dict)


def prepare(source: Source, data: Data, forget: Forget, given: bool = False, by: By = "times") -> Prepared:
    """Split, read and measure; nothing is written.

    given: whether the original model may have seen every image that is not in the source's test split. by: how
    streamed files are told from others of the same name.
    Raises InputError for a class too small to split or without an image, unreadable images, or a wrong choice of
    what to forget.
    """
    request = read_request(forget, source)
    _refuse_empty(source, [*request.classes, *request.before])
    parts = split_samples(source, data, given, request.samples)
    samples = {name: part.samples for name, part in parts.items()}
    resident = _bytes_needed(samples, data) <= data.resident_gb * 1e9
    seen = _survey(source, samples, data)
    pixels = {name: _pixels(part, data, seen.rules) for name, part in samples.items()} if resident else {}
    stamps = {} if resident else {name: stamp_files(part.files, by) for name, part in samples.items()}
    ids = {name: part.ids for name, part in samples.items()}
    channels, mean, std = _measured(samples["train"], pixels.get("train"), data, seen.rules)
    manifest = Manifest(
        source=data.name,
        classes=source.classes,
        image_size=data.image_size,
        channels=channels,
        mean=mean,
        std=std,
        root=None if resident else data.root,
        content=_pixel_hash(pixels) if resident else content_of(ids, stamps, by),
        splits={name: Split(part.samples.ids, part.samples.labels, part.borrowed) for name, part in parts.items()},
        forget_classes=request.classes,
        eval_resize=data.eval_resize,
        erased_before=request.before,
        value_range=list(seen.rules.value_range) if seen.rules.value_range else None,
        told_by=None if resident else by,
        forget_samples=_positions(request, source, parts["train"]),
    )
    return Prepared(manifest, pixels, stamps, [seen.note] if seen.note else [])


def _refuse_empty(source: Source, chosen: list[int]) -> None:
    """Refuse classes without a training image, but for those to forget, whose images their owner may have deleted."""
    counts = np.bincount(source.train.labels, minlength=len(source.classes))
    empty = [source.classes[label] for label in np.flatnonzero(counts == 0) if label not in chosen]
    if empty:
        raise InputError(
            f"no training image of {', '.join(map(repr, empty[:5]))}: only a class to forget may have none; add "
            "images, take the class away, or choose it (forget:)"
        )


def split_samples(
    source: Source, data: Data, given: bool = False, reserved: np.ndarray | None = None
) -> dict[str, Part]:
    """Return train, validation and test; what the source has no samples for is taken from its training samples.

    It is cut off them, class by class; where the original model is given, which has seen them all, it is borrowed: the
    training split keeps every sample, so that all of a class can be erased. reserved: positions of training samples
    that are neither cut off nor borrowed, because they are to be forgotten.
    """
    names = set() if reserved is None else {source.train.ids[position] for position in reserved}
    train = Part(source.train)
    take = _borrow if given else _cut
    train, test = take(train, source.test, data.test_fraction, source.classes, data.seed, names)
    if source.validation is not None:
        return {"train": train, "validation": Part(source.validation), "test": test}
    train, validation = take(train, None, data.validation_fraction, source.classes, data.seed, names)
    return {"train": train, "validation": validation, "test": test}


def _positions(request: Request, source: Source, train: Part) -> tuple[int, ...]:
    """Return where in the training split the samples to forget lie."""
    names = {source.train.ids[position] for position in request.samples}
    return tuple(position for position, name in enumerate(train.samples.ids) if name in names)


def _measured(train: Samples, pixels: Tensor | None, data: Data, rules: Rules) -> tuple[int, list[float], list[float]]:
    """Return channels, mean and std of the training images; files are read only where the latter are not given."""
    if pixels is None and data.mean and data.std:
        shown = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
    else:
        shown = _sampled(train, data, rules) if pixels is None else pixels[:: _stride(train)]
    return shown.shape[1], *normalisation(shown, data)


def normalisation(pixels: Tensor, data: Data) -> tuple[list[float], list[float]]:
    """Return mean and std per channel of uint8 (N, C, H, W) scaled to 0..1, or the given values."""
    channels = pixels.shape[1]
    scaled = pixels.double() / 255
    mean = data.mean or [round(value, 4) for value in scaled.mean(dim=(0, 2, 3)).tolist()]
    std = data.std or [round(max(value, 0.001), 4) for value in scaled.std(dim=(0, 2, 3)).tolist()]
    for key, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise InputError(f"data.{key}: {len(values)} values given, but the images have {channels} channel(s)")
    return mean, std


def _cut(
    train: Part, own: Samples | None, fraction: float, classes: list[str], seed: int, reserved: set[str]
) -> tuple[Part, Part]:
    """Return (what is left of the training samples, the split's own samples with those cut off for it)."""
    taken = _stratified(train.samples, own, fraction, classes, seed, reserved)
    for label, count in enumerate(np.bincount(train.samples.labels, minlength=len(classes))):
        if count and count == (train.samples.labels[taken] == label).sum():
            raise InputError(TOO_FEW.format(name=classes[label], count=count))
    rest = np.setdiff1d(np.arange(len(train.samples.labels)), taken)
    return Part(_take(train.samples, rest)), Part(_joined(own, _take(train.samples, taken)))


def _borrow(
    train: Part, own: Samples | None, fraction: float, classes: list[str], seed: int, reserved: set[str]
) -> tuple[Part, Part]:
    """Return (all training samples, the split's own samples with those borrowed for it).

    Of a class with a single image nothing is borrowed: an attacker would have none left.
    """
    taken = _stratified(train.samples, own, fraction, classes, seed, reserved)
    counts = np.bincount(train.samples.labels, minlength=len(classes))
    taken = taken[counts[train.samples.labels[taken]] > 1]
    first = len(own.ids) if own else 0
    borrowed = {first + number: int(lender) for number, lender in enumerate(taken)}
    return train, Part(_joined(own, _take(train.samples, taken)), borrowed)


def _stratified(
    train: Samples, own: Samples | None, fraction: float, classes: list[str], seed: int, reserved: set[str]
) -> np.ndarray:
    """Return sorted positions of `fraction` of the samples of each class that the split has none of, one at least.

    The reserved ones are not among them: of a class with few others there are fewer.
    """
    order = np.random.default_rng(seed % 2**64).permutation(len(train.labels))
    taken = np.zeros(len(train.labels), dtype=bool)
    has_own = set() if own is None else set(own.labels.tolist())
    counts = np.bincount(train.labels, minlength=len(classes))
    by_class = np.split(order[np.argsort(train.labels[order], kind="stable")], np.cumsum(counts)[:-1])
    for label, of_class in enumerate(by_class):
        count = max(1, round(fraction * len(of_class))) if fraction and label not in has_own else 0
        free = [position for position in of_class if train.ids[position] not in reserved] if reserved else of_class
        taken[free[:count]] = True
    return np.flatnonzero(taken)


def _joined(own: Samples | None, more: Samples) -> Samples:
    """Return both, one after the other."""
    if own is None or not more.ids:
        return own or more
    return Samples(
        ids=[*own.ids, *more.ids],
        labels=np.concatenate([own.labels, more.labels]),
        pixels=None if own.pixels is None or more.pixels is None else torch.cat([own.pixels, more.pixels]),
        root=own.root,
    )


def _take(samples: Samples, positions: np.ndarray) -> Samples:
    return Samples(
        ids=[samples.ids[i] for i in positions],
        labels=samples.labels[positions],
        pixels=None if samples.pixels is None else samples.pixels[torch.from_numpy(positions)],
        root=samples.root,
    )


def _bytes_needed(samples: dict[str, Samples], data: Data) -> float:
    if all(part.pixels is not None for part in samples.values()):
        return 0.0  # in memory already
    return sum(len(part.ids) for part in samples.values()) * 3.0 * math.prod(_stored_sides(data))


def _survey(source: Source, samples: dict[str, Samples], data: Data) -> Survey:
    """Look at every image once, so that a broken file is named now and not hours into training.

    A million files of a published set are not opened for that; who reads a broken one names it.
    """
    if source.eight_bits:
        return Survey(Rules(max_pixels=data.max_pixels), "")
    paths = list(dict.fromkeys(path for part in samples.values() for path in part.files))
    given = (data.value_range[0], data.value_range[1]) if data.value_range else None
    return survey(paths, Rules(given, data.max_pixels), "data.value_range")


def _pixels(samples: Samples, data: Data, rules: Rules) -> Tensor:
    if samples.pixels is not None:
        return stored(samples.pixels, data.image_size, data.eval_resize)
    if not samples.ids:
        return torch.zeros(0, 3, *_stored_sides(data), dtype=torch.uint8)
    return read_all(samples.files, data.image_size, data.eval_resize, rules)


def _stored_sides(data: Data) -> tuple[int, int]:
    """Return height and width of the pixels of a resident split."""
    sides = data.eval_resize or [data.image_size]
    return sides[0], sides[-1]


def _stride(samples: Samples) -> int:
    return max(1, len(samples.ids) // MEASURED_SAMPLES)


def _sampled(samples: Samples, data: Data, rules: Rules) -> Tensor:
    return read_all(samples.files[:: _stride(samples)], data.image_size, rules=rules)


def _pixel_hash(pixels: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for images in pixels.values():
        digest.update(images.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
