"""Batches of one split behind one interface: resident (uint8 on the device) or streaming (decoded by workers)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unlearning.data.augment import apply, draw
from unlearning.data.crop import Crop
from unlearning.data.images import evaluation_view, fit, reduction_for
from unlearning.data.manifest import Manifest, pixel_file
from unlearning.data.picture import Reduction
from unlearning.data.reading import AnotherFile, BadImage, known_of, read_image, rules_of
from unlearning.data.stamps import load_stamps
from unlearning.data.written import MANIFEST
from unlearning.errors import InputError
from unlearning.files import sha256_known, write_atomically
from unlearning.params import Augment
from unlearning.read_back import Origin, require_file
from unlearning.seeds import derive_seed, generator

PIXELS = Origin("a file of pixels of this split", MANIFEST.stage)


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
        self.images_read = 0  # so far
        self.device, self.rank, self.world = device, rank, world
        statistics = torch.tensor([manifest.mean, manifest.std]).view(2, 1, manifest.channels, 1, 1)
        self.mean, self.std = statistics.to(device)
        self.reader: Reader
        if pixels is not None or manifest.root is None:
            own = manifest.splits[split]
            name = own.pixels_of or split
            held = load_pixels(name, own.rows, manifest.pixels.get(name)) if pixels is None else pixels
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
            self.images_read += len(positions)
            yield Batch(images, self.labels[positions].to(self.device), positions)


def read_files(manifest: Manifest, split: str, positions: list[int]) -> list[Tensor]:
    """Return some images of a streamed split as uint8 (C, size, size), each read once; raises InputError like it."""
    files = Files(manifest, split)
    return [files[Asked(position, seed=0, min_area=1.0)] for position in positions]


def save_pixels(split: str, pixels: Tensor) -> None:
    """Write the pixels of a split, uint8 (N, C, H, W), to where `Resident` reads them."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, pixels.numpy())

    write_atomically(pixel_file(split), write, pixels.nbytes)


def load_pixels(split: str, rows: np.ndarray | None = None, expected: str | None = None) -> Tensor:
    """Return what `save_pixels` wrote, memory-mapped, so that processes share its pages; a copy of `rows` if given.

    expected: SHA-256 of the file, as the manifest says; None where it is not known. Raises InputError when the file is
    missing, broken, or another one.
    """
    path = pixel_file(split)
    require_file(path, PIXELS)
    if expected is not None and sha256_known(path) != expected:
        PIXELS.refuse(path, "its content is not what the stage wrote: its hash is not the manifest's")
    try:
        # "c": copy-on-write. The file is DVC's and read-only, but torch asks for writable memory.
        pixels = np.load(path, mmap_mode="c")
        if pixels.dtype != np.uint8 or pixels.ndim != 4:
            raise ValueError(f"{pixels.dtype} {pixels.shape}; uint8 (N, C, H, W) was expected")
        return torch.from_numpy(pixels if rows is None else pixels[rows])
    except Exception as error:  # a damaged header can raise nearly anything
        PIXELS.refuse(path, str(error))


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
    """Images decoded from files by worker processes, already cropped to the model's size.

    The processes live as long as this does: an epoch finds them started, and with their modules loaded.
    """

    crops = True

    def __init__(self, manifest: Manifest, split: str, workers: int, rank: int, world: int) -> None:
        self.files, self.workers, self.rank, self.world = Files(manifest, split), workers, rank, world
        self._free: list[Loader] = []

    def read(self, plans: Iterable[Plan], augment: Augment | None) -> Iterator[Tensor]:
        min_area = augment.min_area if augment else None
        asked = (_asked(plan, self.rank, self.world, min_area) for plan in plans)
        loader = self._free.pop() if self._free else Loader(self.files, self.workers)  # passes can overlap
        yield from loader.batches(asked)
        self._free.append(loader)


class Asked(NamedTuple):
    """One image to be read, and for what."""

    position: int
    seed: int  # of the crop: of one sample in one epoch
    min_area: float | None  # share of the image that a training crop shows at least; None for evaluation


class Pass:
    """The batches that a loader is asked for next; made as they are due, for a million images take their room."""

    asked: Iterator[list[Asked]] = iter([])

    def __iter__(self) -> Iterator[list[Asked]]:
        return self.asked


class Loader:
    """A DataLoader whose workers stay for one pass after the other."""

    def __init__(self, files: "Files", workers: int) -> None:
        self._pass = Pass()
        self._loader: DataLoader[Tensor] = DataLoader(
            files,
            batch_sampler=self._pass,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            generator=torch.Generator(),  # its own: torch's would be one draw further after an interrupted run
        )

    def batches(self, asked: Iterator[list[Asked]]) -> Iterator[Tensor]:
        """Yield the images of each batch, uint8 (b, C, size, size); raises InputError that names an unreadable one."""
        self._pass.asked = asked
        try:
            yield from self._loader
        except InputError as error:  # from a worker process it comes wrapped in the text of its traceback
            raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None


class Files(Dataset[Tensor]):
    """The images of a streamed split, each read anew when it is asked for."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        self.root, self.ids, self.size = Path(manifest.root or ""), manifest.splits[split].ids, manifest.image_size
        self.resize, self.grey, self.rules = manifest.eval_resize, manifest.channels == 1, rules_of(manifest)
        self.stamps, self.told_by = load_stamps(manifest, split), manifest.told_by

    def __getitem__(self, asked: Asked) -> Tensor:
        if asked.min_area is None:
            return evaluation_view(
                self._read(asked.position, reduction_for(self.size, self.resize)), self.size, self.resize
            )
        if asked.min_area == 1:
            return fit(self._read(asked.position, reduction_for(self.size, [])), self.size)
        crop = Crop(asked.seed, asked.min_area, self.size)
        return crop.of(self._read(asked.position, crop.reduction))

    def _read(self, position: int, reduction: Reduction) -> Tensor:
        path = self.root / self.ids[position]
        try:
            image = read_image(path, self.rules, known_of(self.stamps, self.told_by, position), reduction)
        except AnotherFile as error:
            raise InputError(
                f"the image {path} is not the one that the split was made of ({error}); put that back, or run "
                "`dvc repro` (without `inputs: kept`)"
            ) from None
        except BadImage as error:
            raise InputError(f"cannot read the image {path} ({error}); repair it and run again") from None
        if not self.grey:
            return image
        from torchvision.transforms.v2 import functional as transforms  # here: it takes as long to import as torch

        grey: Tensor = transforms.rgb_to_grayscale(image)  # surrogate images in colour for a model of grey ones
        return grey


def _asked(plan: Plan, rank: int, world: int, min_area: float | None) -> list[Asked]:
    """Return what a process reads of a plan."""
    rows = plan.share(rank, world)
    positions = plan.positions[rows].tolist()
    return [
        Asked(position, derive_seed(plan.seed, row), min_area)
        for row, position in enumerate(positions, start=rows.start)
    ]


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
