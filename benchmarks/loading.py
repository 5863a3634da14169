"""The resident loader beside torchvision's transforms in a DataLoader."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks import world
from benchmarks.side_by_side import DEVICE, Goal, Line, line, seconds
from unlearning.data.batches import ImageSplit, load_pixels

IMAGES, BATCH = 10_000, 128
WORKERS = (0, 1, 2, 4)
ROUNDS = 3


class Pictures(Dataset[tuple[Tensor, int]]):
    """uint8 pictures, each shifted, mirrored and normalised as in the scenario."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels.tolist()
        self.transform = v2.Compose(
            [
                v2.RandomCrop(world.SIZE, padding=4),
                v2.RandomHorizontalFlip(0.5),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.25] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(self.pixels[position]), self.labels[position]


def measure() -> Iterator[Line]:
    """Images per second of one pass; the best number of workers, found first, speaks for the DataLoader."""
    with world.workspace(IMAGES) as manifest:
        run = world.run_of("bench", manifest, world.network(), world.place())
        own: ImageSplit = run.train_split
        pictures = Pictures(load_pixels("train"), own.labels)
        augment = world.recipe().augment

        def ours() -> None:
            for _ in run.schedule.visit("all", BATCH, augment, 1):
                pass

        def theirs(loader: DataLoader[tuple[Tensor, int]]) -> None:
            for images, labels in loader:
                images.to(DEVICE, non_blocking=True)
                labels.to(DEVICE, non_blocking=True)

        loaders = {workers: loader_of(pictures, workers) for workers in WORKERS}
        for loader in loaders.values():
            theirs(loader)  # starts its workers, which stay
        best = min(loaders, key=lambda workers: seconds(lambda: theirs(loaders[workers])))
        ours()
        timed = [(seconds(ours), seconds(lambda: theirs(loaders[best]))) for _ in range(ROUNDS)]
        yield line(
            f"resident loader alone, {IMAGES:,} images", f"DataLoader with torchvision's transforms, {best} workers",
            timed, Goal(10, at_most=False), "s",
        )  # fmt: skip


def loader_of(pictures: Pictures, workers: int) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(
        pictures, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0,
        pin_memory=DEVICE.type == "cuda",
    )  # fmt: skip
