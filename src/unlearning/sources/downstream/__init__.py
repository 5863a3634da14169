"""Downstream sets for k-NN transfer: one file a set, `load(entry) -> LabelledImages`, found by its name as `source`."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import Manifest, Split
from unlearning.data.reading import Rules
from unlearning.data.samples import kept_sample
from unlearning.data.text_lists import lines_of
from unlearning.data.value_range import of_survey, survey
from unlearning.errors import InputError, and_more, brief, did_you_mean
from unlearning.params import KNN, DownstreamSet

MOST_DIGITS = 9
SPLIT = "downstream"  # name of the one split of a downstream manifest


@dataclass(frozen=True)
class LabelledImages:
    """Images in a fixed order: files below `root`, or pixels in memory."""

    root: Path
    ids: list[str]  # paths below the root, or names
    labels: np.ndarray  # int64 (N,), from 0
    is_train: np.ndarray | None  # bool (N,), the official split; None where the set has none
    pixels: Tensor | None = None  # uint8 (N, 3, H, W), or None where the images are files


def set_named(name: str, sets: list[DownstreamSet]) -> DownstreamSet:
    """Return the entry of `downstream:` of this name; raises InputError that lists those there are."""
    for entry in sets:
        if entry.name == name:
            return entry
    names = [entry.name for entry in sets]
    there_are = f"there are {', '.join(names)}{did_you_mean(name, names)}" if names else "it has none"
    raise InputError(f"downstream: params.yaml has no set named {name!r}; {there_are}")


def load_downstream(entry: DownstreamSet) -> LabelledImages:
    """Return the images of one entry of `downstream:`; without the official split where `split: random` asks for that.

    Raises InputError for an unknown source, a folder that is not there (saying which was expected and how to get the
    set), or a list that names missing images.
    """
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if entry.source not in names:
        hint = did_you_mean(entry.source, names)
        raise InputError(f"downstream: source {entry.source!r} of {entry.name} is none of {', '.join(names)}{hint}")
    images: LabelledImages = importlib.import_module(f"{__name__}.{entry.source}").load(entry)
    if not images.ids:
        raise InputError(f"{_named(entry)}: no image is listed for it below {entry.root}")
    if images.pixels is None:
        _refuse_missing(entry, images)
    return replace(images, is_train=None) if entry.split == "random" else images


def bounded(images: LabelledImages, max_samples: int, seed: int) -> LabelledImages:
    """Return at most `max_samples` of the images, chosen at random, order kept."""
    if len(images.ids) <= max_samples:
        return images
    kept = kept_sample(len(images.ids), max_samples, seed)
    return replace(
        images,
        ids=[images.ids[position] for position in kept],
        labels=images.labels[kept],
        is_train=None if images.is_train is None else images.is_train[kept],
        pixels=None if images.pixels is None else images.pixels[torch.from_numpy(kept)],
    )


def training_part(images: LabelledImages, cfg: KNN) -> np.ndarray:
    """Return which images, bool (N,), the neighbours are sought among: the official split, or 80/20 by `knn.seed`.

    The latter are those of UUEF: torch's random_split, of which the first part is rounded down.
    """
    if images.is_train is not None:
        return images.is_train
    count = len(images.labels)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(cfg.seed)).numpy()
    chosen = np.zeros(count, dtype=bool)
    chosen[order[: int((1 - cfg.test_fraction) * count)]] = True
    return chosen


def image_split(
    images: LabelledImages, manifest: Manifest, device: torch.device, workers: int, max_pixels: int
) -> ImageSplit:
    """Return the images as one split, scaled, coloured and normalised as those of the manifest in evaluation.

    Of an `eval_resize` of height and width only the first counts, as the shorter side: these images are not stretched,
    as in UUEF. Images of more than 8 bits are scaled by the range of values that they use themselves.
    max_pixels: of an image, above which it is refused.
    """
    split, resize, pixels = {SPLIT: Split(images.ids, images.labels)}, manifest.eval_resize[:1], images.pixels
    files = [images.root / name for name in images.ids] if pixels is None else []
    own = of_survey(manifest, survey(files, Rules(max_pixels=max_pixels)))
    own = replace(own, root=str(images.root), splits=split, eval_resize=resize)
    if pixels is not None and manifest.channels == 1:
        from torchvision.transforms.v2 import functional as transforms  # here: it takes as long to import as torch

        pixels = transforms.rgb_to_grayscale(pixels)
    return ImageSplit(own, SPLIT, device, workers, pixels=pixels)


def expect_folder(entry: DownstreamSet, folder: Path, how_to_get: str) -> Path:
    """Return the folder; raises InputError that says which was expected and how to get the set."""
    if not folder.is_dir():
        raise InputError(f"{_named(entry)} expects the folder {folder}; {how_to_get}")
    return folder


def read_pairs(entry: DownstreamSet, path: Path) -> list[tuple[str, str]]:
    """Return the two words of each line of a list file; raises InputError naming a file or line that is not so."""
    pairs = []
    for number, line in enumerate(lines_of(path, _named(entry)), start=1):
        words = line.split()
        if words and len(words) != 2:
            raise InputError(f"{_named(entry)}: {path}, line {number}: expected two words, not {brief(line, 80)!r}")
        if words:
            pairs.append((words[0], words[1]))
    return pairs


def class_number(entry: DownstreamSet, text: str, path: Path) -> int:
    """Return a class number of a list file; raises InputError naming the file when it is none."""
    if not text.isdecimal() or len(text) > MOST_DIGITS:
        raise InputError(
            f"{_named(entry)}: {path}: {brief(text, 80)!r} is no class number; expected digits, {MOST_DIGITS} at most"
        )
    return int(text)


def _named(entry: DownstreamSet) -> str:
    """Return the set as messages name it."""
    return f"downstream: {entry.name} ({entry.source})"


def _refuse_missing(entry: DownstreamSet, images: LabelledImages) -> None:
    paths = (images.root / name for name in images.ids)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{_named(entry)} lists images that do not exist: {and_more(missing)}; unpack the whole set there"
        )
