"""From a source to the split on disk: train / validation / test, pixels, normalisation, content hash."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unlearning.data.images import BROKEN, range_is_known, read_all, refuse_broken, stored
from unlearning.data.inputs import By, stamp
from unlearning.data.manifest import Manifest, Split
from unlearning.data.scenarios import forget_classes
from unlearning.data.sources import Samples, Source
from unlearning.errors import InputError
from unlearning.params import Data, Forget

MEASURED_SAMPLES = 10_000  # of the training split, enough for three digits of mean and std


@dataclass(frozen=True)
class Prepared:
    manifest: Manifest
    pixels: dict[str, Tensor]  # uint8 (N, C, H, W) per split; empty when images are streamed from files


def prepare(source: Source, data: Data, forget: Forget, by: By = "times") -> Prepared:
    """Split, read and measure; nothing is written.

    by: how streamed files are told from others of the same name.
    Raises InputError for a class too small to split, unreadable images, or a wrong choice of forget classes.
    """
    chosen = forget_classes(forget, source.classes)
    samples = split_samples(source, data)
    resident = _bytes_needed(samples, data) <= data.resident_gb * 1e9
    pixels = {name: _pixels(part, data) for name, part in samples.items()} if resident else {}
    measured = pixels["train"][:: _stride(samples["train"])] if resident else _sampled(samples["train"], data)
    mean, std = normalisation(measured, data)
    manifest = Manifest(
        source=data.name,
        classes=source.classes,
        image_size=data.image_size,
        channels=measured.shape[1],
        mean=mean,
        std=std,
        root=None if resident else data.root,
        content=_pixel_hash(pixels) if resident else _file_hash(samples, by),
        splits={name: Split(part.ids, part.labels) for name, part in samples.items()},
        forget_classes=chosen,
        eval_resize=data.eval_resize,
    )
    return Prepared(manifest, pixels)


def split_samples(source: Source, data: Data) -> dict[str, Samples]:
    """Return train, validation and test; what the source does not split is split here, class by class."""
    train, validation, test = source.train, source.validation, source.test
    if test is None:
        train, test = _stratified(train, data.test_fraction, source.classes, data.seed)
    if validation is None:
        train, validation = _stratified(train, data.validation_fraction, source.classes, data.seed)
    return {"train": train, "validation": validation, "test": test}


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


def _stratified(samples: Samples, fraction: float, classes: list[str], seed: int) -> tuple[Samples, Samples]:
    """Take `fraction` of each class out; returns (the rest, what was taken)."""
    order = np.random.default_rng(seed % 2**64).permutation(len(samples.labels))
    taken = np.zeros(len(samples.labels), dtype=bool)
    for label, name in enumerate(classes):
        of_class = order[samples.labels[order] == label]
        count = max(1, round(fraction * len(of_class))) if fraction else 0
        if count >= len(of_class):
            raise InputError(f"the class {name!r} has {len(of_class)} image(s), too few to split; add images")
        taken[of_class[:count]] = True
    return _take(samples, np.flatnonzero(~taken)), _take(samples, np.flatnonzero(taken))


def _take(samples: Samples, positions: np.ndarray) -> Samples:
    return Samples(
        ids=[samples.ids[i] for i in positions],
        labels=samples.labels[positions],
        pixels=None if samples.pixels is None else samples.pixels[torch.from_numpy(positions)],
        paths=None if samples.paths is None else [samples.paths[i] for i in positions],
    )


def _bytes_needed(samples: dict[str, Samples], data: Data) -> float:
    if all(part.pixels is not None for part in samples.values()):
        return 0.0  # in memory already
    return sum(len(part.ids) for part in samples.values()) * 3.0 * math.prod(_stored_sides(data))


def _pixels(samples: Samples, data: Data) -> Tensor:
    if samples.pixels is not None:
        return stored(samples.pixels, data.image_size, data.eval_resize)
    if not samples.paths:
        return torch.zeros(0, 3, *_stored_sides(data), dtype=torch.uint8)
    return read_all(samples.paths, data.image_size, data.eval_resize)


def _stored_sides(data: Data) -> tuple[int, int]:
    """Return height and width of the pixels of a resident split."""
    sides = data.eval_resize or [data.image_size]
    return sides[0], sides[-1]


def _stride(samples: Samples) -> int:
    return max(1, len(samples.ids) // MEASURED_SAMPLES)


def _sampled(samples: Samples, data: Data) -> Tensor:
    return read_all((samples.paths or [])[:: _stride(samples)], data.image_size)


def _pixel_hash(pixels: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for images in pixels.values():
        digest.update(images.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _file_hash(samples: dict[str, Samples], by: By) -> str:
    """Names, and sizes and times or contents: later stages read these files, and have to run again with others.

    Every header is opened once, so that a broken file is named now and not hours into training."""
    digest = hashlib.sha256()
    paths = [path for part in samples.values() for path in part.paths or []]
    refuse_broken([path for path in paths if not _opens(path)])
    for path in paths:
        digest.update(f"{path.name}:{stamp(path, path.stat(), by)}\n".encode())
    return digest.hexdigest()[:16]


def _opens(path: Path) -> bool:
    try:
        with Image.open(path) as file:
            return range_is_known(file)
    except BROKEN:
        return False
