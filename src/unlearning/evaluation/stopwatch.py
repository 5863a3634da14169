"""How long the parts of a stage take, and which share of it each is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from unlearning.engine.launch import Launch


class Stopwatch:
    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what is done within the context, work that waits on the device included."""
        self.launch.synchronise()
        started = time.monotonic()
        yield
        self.launch.synchronise()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def report(self) -> str:
        """Return one line: each part's seconds and its share of all of them."""
        total = sum(self.seconds.values())
        return ", ".join(f"{name} {spent:.1f} s ({spent / total:.0%})" for name, spent in self.seconds.items())
