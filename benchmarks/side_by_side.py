"""Two ways of doing the same, measured side by side: in turns within one run, as machines are shared and noisy."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS = 5


@dataclass(frozen=True)
class Line:
    """A row of the table: a ratio of two medians, and what was hoped for."""

    name: str
    against: str
    ratio: float
    low: float  # lowest and
    high: float  # highest ratio of a single round
    goal: str  # as said in the table
    met: bool
    ours: float
    theirs: float
    unit: str  # of these two
    remark: str = ""


@dataclass(frozen=True)
class Goal:
    """At most, or at least, so much."""

    bound: float
    at_most: bool = True

    def met(self, ratio: float) -> bool:
        return ratio <= self.bound if self.at_most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes, work that waits on the device included."""
    synchronise()
    started = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - started


def synchronise() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def compare(
    name: str,
    against: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    goal: Goal,
    rounds: int = ROUNDS,
    remark: str = "",
) -> Line:
    """Time both in turns, after a round that does not count.

    The ratio is ours over theirs where the goal is at most so much, theirs over ours where it is at least so much.
    """
    timed = [(seconds(ours), seconds(theirs)) for _ in range(rounds + 1)][1:]
    return line(name, against, timed, goal, "s", remark)


def line(name: str, against: str, measured: list[tuple[float, float]], goal: Goal, unit: str, remark: str = "") -> Line:
    """Return the row of pairs (ours, theirs)."""
    ours, theirs = (median(values) for values in zip(*measured, strict=True))
    ratios = [(a / b if goal.at_most else b / a) for a, b in measured]
    ratio = ours / theirs if goal.at_most else theirs / ours
    return Line(name, against, ratio, min(ratios), max(ratios), str(goal), goal.met(ratio), ours, theirs, unit, remark)


class PeakMemory(TorchDispatchMode):
    """Count the bytes of tensors that live at once within the context, beyond those that lived before; any device."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: WeakKeyDictionary[torch.UntypedStorage, Held] = WeakKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(one) for one in args if isinstance(one, Tensor)}
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, Tensor) and _storage(tensor) not in given:
                self._hold(tensor)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known[storage] = Held(self, storage.nbytes())


class Held:
    """Bytes that are given back when the tensor that they belong to is gone."""

    def __init__(self, counter: PeakMemory, size: int) -> None:
        self.counter, self.size = counter, size
        counter.now += size
        counter.peak = max(counter.peak, counter.now)

    def __del__(self) -> None:
        self.counter.now -= self.size


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def peak_memory(work: Callable[[], object]) -> int:
    """Return the bytes of tensors that some work makes and holds at once."""
    with PeakMemory() as counter:
        work()
    return counter.peak
