"""Batches of one split behind one interface: resident (uint8 on the device) or streaming (decoded by workers)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unlearning.data.augment import ASPECT, apply, draw
from unlearning.data.images import evaluation_view, fit
from unlearning.data.manifest import SPLIT_FOLDER, Manifest
from unlearning.data.reading import AnotherFile, BadImage, known_of, read_image, rules_of
from unlearning.data.stamps import load_stamps
from unlearning.errors import InputError
from unlearning.files import write_atomically
from unlearning.params import Augment
from unlearning.seeds import derive_seed, generator


@dataclass(frozen=True)
class Plan:
    """One global batch before it is read: positions within the split and the seed of its augmentation."""

    positions: Tensor  # int64 (B,)
    seed: int

    def share(self, rank: int, world: int) -> slice:
        """Return the rows that process `rank` of `world` takes."""
        return share_of(len(self.positions), rank, world)


@dataclass(frozen=True)
class Batch:
    images: Tensor  # float (B, C, H, W), normalised, channels-last
    labels: Tensor  # int64 (B,)
    positions: Tensor  # int64 (B,), within the split


class Reader(Protocol):
    """Reads uint8 images (b, C, H, W) for the rows that this process takes of each plan."""

    def read(self, plans: Iterable[Plan], augment: Augment | None) -> Iterator[Tensor]: ...

    @property
    def crops(self) -> bool:
        """Whether the resized crop is already made while reading."""
        ...


class ImageSplit:
    """One split of the manifest as batches on a device; `rank` of `world` processes takes its share of each.

    pixels: uint8 (N, C, H, W) of any size, for images that are in memory already instead of in the split's files.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: str,
        device: torch.device,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        pixels: Tensor | None = None,
    ) -> None:
        self.labels = torch.from_numpy(manifest.splits[split].labels)
        self.device, self.rank, self.world = device, rank, world
        statistics = torch.tensor([manifest.mean, manifest.std]).view(2, 1, manifest.channels, 1, 1)
        self.mean, self.std = statistics.to(device)
        self.reader: Reader
        if pixels is not None or manifest.root is None:
            own = manifest.splits[split]
            held = load_pixels(own.pixels_of or split, own.rows) if pixels is None else pixels
            self.reader = Resident(held.to(device), manifest.image_size, manifest.eval_resize, rank, world)
        else:
            self.reader = Streaming(manifest, split, workers, rank, world)

    def batches(self, plans: list[Plan], augment: Augment | None = None) -> Iterator[Batch]:
        """Yield the batches of the plans; without `augment` the images are only normalised."""
        for plan, pixels in zip(plans, self.reader.read(plans, augment), strict=True):
            rows = plan.share(self.rank, self.world)
            images = pixels.to(self.device, non_blocking=True).float() / 255
            if augment is not None:
                settings = augment.model_copy(update={"min_area": 1.0}) if self.reader.crops else augment
                draws = draw(len(plan.positions), settings, generator(plan.seed)).share(rows)
                images = apply(images, draws, settings)
            images = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
            positions = plan.positions[rows]
            yield Batch(images, self.labels[positions].to(self.device), positions)


def read_files(manifest: Manifest, split: str, positions: list[int]) -> list[Tensor]:
    """Return some images of a streamed split as uint8 (C, size, size), each read once; raises InputError like it."""
    files = _Files(Streaming(manifest, split, workers=0, rank=0, world=1), [], 1.0)
    return [files[position, 0] for position in positions]


def save_pixels(split: str, pixels: Tensor) -> None:
    """Write the pixels of a split, uint8 (N, C, H, W), to where `Resident` reads them."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, pixels.numpy())

    write_atomically(SPLIT_FOLDER / f"{split}.npy", write, pixels.nbytes)


def load_pixels(split: str, rows: np.ndarray | None = None) -> Tensor:
    """Return what `save_pixels` wrote, memory-mapped, so that processes share its pages; a copy of `rows` if given.

    Raises InputError when the file is missing or broken.
    """
    path = SPLIT_FOLDER / f"{split}.npy"
    try:
        # "c": copy-on-write. The file is DVC's and read-only, but torch asks for writable memory.
        pixels = np.load(path, mmap_mode="c")
        return torch.from_numpy(pixels if rows is None else pixels[rows])
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read {path} ({error}); run `dvc repro split`, or `dvc checkout`") from None


class Resident:
    """The whole split as one uint8 array on the device, brought to the model's size as it is read."""

    crops = False

    def __init__(self, pixels: Tensor, size: int, resize: list[int], rank: int, world: int) -> None:
        self.pixels, self.size, self.rank, self.world = pixels, size, rank, world
        self.resize = resize

    def read(self, plans: Iterable[Plan], augment: Augment | None) -> Iterator[Tensor]:
        for plan in plans:
            positions = plan.positions[plan.share(self.rank, self.world)]
            pixels = self.pixels[positions.to(self.pixels.device)]
            yield fit(pixels, self.size) if augment else evaluation_view(pixels, self.size, self.resize)


class Streaming:
    """Images decoded from files by worker processes, already cropped to the model's size."""

    crops = True

    def __init__(self, manifest: Manifest, split: str, workers: int, rank: int, world: int) -> None:
        self.root, self.ids, self.size = Path(manifest.root or ""), manifest.splits[split].ids, manifest.image_size
        self.resize, self.grey, self.rules = manifest.eval_resize, manifest.channels == 1, rules_of(manifest)
        self.stamps, self.told_by = load_stamps(manifest, split), manifest.told_by
        self.workers, self.rank, self.world = workers, rank, world

    def read(self, plans: Iterable[Plan], augment: Augment | None) -> Iterator[Tensor]:
        batches = [
            [(int(position), derive_seed(plan.seed, row)) for row, position in _rows(plan, self.rank, self.world)]
            for plan in plans
        ]
        min_area = augment.min_area if augment else 1.0
        resize = [] if augment else self.resize
        dataset = _Files(self, resize, min_area)
        loader: DataLoader[Tensor] = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if self.workers else None,
        )
        try:
            yield from loader
        except InputError as error:  # from a worker process it comes wrapped in the text of its traceback
            raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None


class _Files(Dataset[Tensor]):
    """Keys are (position, seed); the seed makes the crop of one sample in one epoch."""

    def __init__(self, of: Streaming, resize: list[int], min_area: float) -> None:
        self.root, self.ids, self.size, self.grey, self.rules = of.root, of.ids, of.size, of.grey, of.rules
        self.stamps, self.told_by, self.resize, self.min_area = of.stamps, of.told_by, resize, min_area
        from torchvision.transforms import v2  # here: it takes as long to import as torch, and only files need it

        self.crop = v2.RandomResizedCrop(of.size, scale=(min_area, 1.0), ratio=ASPECT, antialias=True)
        self.to_grey = v2.Grayscale()

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        position, seed = key
        path = self.root / self.ids[position]
        try:
            image = read_image(path, self.rules, known_of(self.stamps, self.told_by, position))
        except AnotherFile as error:
            raise InputError(
                f"the image {path} is not the one that the split was made of ({error}); put that back, or run "
                "`dvc repro` (without `inputs: kept`)"
            ) from None
        except BadImage as error:
            raise InputError(f"cannot read the image {path} ({error}); repair it and run again") from None
        if self.grey:  # surrogate images in colour for a model of grey ones
            image = self.to_grey(image)
        if self.min_area == 1:
            return evaluation_view(image, self.size, self.resize)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cropped: Tensor = self.crop(image)
        return cropped


def _rows(plan: Plan, rank: int, world: int) -> list[tuple[int, Tensor]]:
    rows = plan.share(rank, world)
    return [(row, plan.positions[row]) for row in range(rows.start, rows.stop)]


def share_of(count: int, rank: int, world: int) -> slice:
    """Return which of `count` rows process `rank` of `world` takes; equal shares, a remainder is left out."""
    size = count // world
    return slice(rank * size, (rank + 1) * size)


def in_order(positions: np.ndarray, batch_size: int) -> list[Plan]:
    """Return plans that visit the positions once, in order, the last batch possibly smaller."""
    chunks = torch.from_numpy(positions).split(batch_size)
    return [Plan(chunk, seed=0) for chunk in chunks if len(chunk)]  # no positions are split into one empty chunk


def shuffled(positions: np.ndarray, batch_size: int, *seed: int | str) -> list[Plan]:
    """Return one epoch of full batches in an order that `seed` names.

    A remainder is left out (its samples come in another epoch's order); a set smaller than one batch is one batch.
    """
    order = torch.from_numpy(positions)[torch.randperm(len(positions), generator=generator(*seed, "order"))]
    size = min(batch_size, len(order))
    chunks = order[: len(order) - len(order) % size].split(size)
    return [Plan(chunk, derive_seed(*seed, "augment", number)) for number, chunk in enumerate(chunks)]
