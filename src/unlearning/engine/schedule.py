"""Which images meet in which step: shuffled passes over the parts of a split, named by epoch alone.

Nothing here remembers anything: epoch e has the same batches whether or not the run was interrupted before it.
"""

import sys
from collections.abc import Iterator

from unlearning.data.batches import Batch, ImageSplit, Plan, shuffled
from unlearning.data.manifest import Manifest, Part
from unlearning.errors import InputError
from unlearning.params import Augment

NO_IMAGE = (
    "{name}: there is no {split} image to {part}, and this method needs some; one that trains on retained images "
    "alone, such as cola or finetune, needs no image to forget"
)


class BatchSchedule:
    """One split as epochs of batches for one run."""

    def __init__(self, manifest: Manifest, images: ImageSplit, seed: int, name: str, split: str = "train") -> None:
        self.images, self.seed, self.name, self.split = images, seed, name, split
        parts: tuple[Part, ...] = ("all", "forget", "retain")
        self.positions = {part: manifest.select(split, part) for part in parts}
        self._said: set[Part] = set()

    def expect(self, part: Part) -> None:
        """Raise InputError for a part without images."""
        if not len(self.positions[part]):
            raise InputError(NO_IMAGE.format(name=self.name, split=self.split, part=part))

    def steps(self, part: Part, batch_size: int) -> int:
        """Return the number of full batches in one pass over a part; at least one, of the whole part.

        Raises InputError for a part without images.
        """
        self.expect(part)
        size = len(self.positions[part])
        if size < batch_size and part not in self._said and self.images.rank == 0:
            which = f"{self.split} images" if part == "all" else f"{self.split} images to {part}"
            print(f"{self.name}: batch_size {batch_size}, but there are {size} {which}; using all", file=sys.stderr)
            self._said.add(part)
        return max(1, size // batch_size)

    def visit(
        self, part: Part, batch_size: int, augment: Augment, epoch: int, views: int = 1, skip: int = 0
    ) -> Iterator[Batch]:
        """Yield one pass without its first `skip` batches.

        With several views each batch holds its images `views` times over, differently augmented.
        """
        plans = self._pass(part, batch_size, epoch)[skip:]
        return self._read([Plan(plan.positions.repeat(views), plan.seed) for plan in plans], augment)

    def stream(self, part: Part, batch_size: int, augment: Augment, first: int, count: int) -> Iterator[Batch]:
        """Yield batches number first ... first + count - 1 of endless passes over a part."""
        steps = self.steps(part, batch_size)
        passes = range(first // steps, (first + count - 1) // steps + 1)
        plans = [plan for number in passes for plan in self._pass(part, batch_size, number)]
        return self._read(plans[first % steps :][:count], augment)

    def _read(self, plans: list[Plan], augment: Augment) -> Iterator[Batch]:
        return self.images.batches(plans, augment) if plans else iter(())  # without workers that have nothing to do

    def _pass(self, part: Part, batch_size: int, number: int) -> list[Plan]:
        return shuffled(self.positions[part], batch_size, self.seed, self.name, part, number)
