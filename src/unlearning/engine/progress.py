"""How far a run is: what its resume state holds beside the weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from unlearning.engine.curves import Row

Item = TypeVar("Item")


@dataclass
class Progress:
    """Counts and notes of a run, from its beginning, interruptions included."""

    epochs: list[int] = field(default_factory=list)  # finished in each phase so far; `optimise` begins a phase
    step: int = 0  # optimiser steps
    samples: int = 0  # images that went through a forward pass with gradient
    seconds: float = 0.0  # of training, validation and saving left out
    rows: list[Row] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)  # what a program has to remember: tensors and plain values


class Position:
    """Where within its epoch a run is: the steps done, and how much each of the epoch's streams of batches has given.

    An epoch that was left in its middle is begun anew, but its streams, told by the order in which they begin, go on
    behind what they had given, and the random generators of the device are set back to where they were.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._regular_steps = 0  # in a row
        self.begin()

    def begin(self, steps: int = 0, taken: list[int] | None = None, random: dict[str, Tensor] | None = None) -> None:
        """Begin an epoch, or go on in it behind `steps` with the streams and generators of that moment."""
        self.steps = steps
        self.taken: list[int] = []  # items of each stream so far
        self._before = taken or []
        self._random = random
        self._at_last_step: list[int] = []
        self.replaying = steps > 0  # until the first batch that is new
        self._regular = True

    def follow(self, make: Callable[[int], Iterator[Item]]) -> Iterator[Item]:
        """Yield what `make(n)` yields, n the number of items that the interrupted epoch has had of this stream."""
        number = len(self.taken)
        known = number < len(self._before)
        self.taken.append(self._before[number] if known else 0)
        if not known:  # it began behind the moment that was saved: making it may draw random numbers
            self._set_generators_back()
            self._random = None
        for item in make(self.taken[number]):
            if known:
                self._set_generators_back()
            self.replaying = False
            self.taken[number] += 1
            yield item

    def stepped(self) -> None:
        """Count a step; the streams that gave for it should have given one item each."""
        self.steps += 1
        self._random = None
        before = [*(self._at_last_step or self._before), *[0] * len(self.taken)]
        given = {now - then for now, then in zip(self.taken, before, strict=False)}
        self._regular &= 1 in given and given <= {0, 1}
        self._regular_steps = self._regular_steps + 1 if self._regular else 0
        self._at_last_step = list(self.taken)

    @property
    def can_be_gone_on_from(self) -> bool:
        """Whether the epoch is over, or its streams give one item a step, as two steps at least must have shown."""
        return self.steps == 0 or (self._regular and self._regular_steps > 1)

    @property
    def state(self) -> dict[str, Any]:
        """What `begin` needs to go on from here."""
        return {"steps": self.steps, "taken": list(self.taken), "random": random_state(self.device)}

    def _set_generators_back(self) -> None:
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if "cuda" in self._random:
                torch.cuda.set_rng_state(self._random["cuda"], self.device)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the generators that layers such as dropout draw from, uint8."""
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})
