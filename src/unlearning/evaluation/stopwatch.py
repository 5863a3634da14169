"""How long the parts of a stage take, which share of it each is, and at which part it is."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from unlearning.engine.launch import Launch

QUIET = 30.0  # seconds without a word where stderr is no terminal


class Stopwatch:
    def __init__(self, launch: Launch, parts: int) -> None:
        """parts: how many a round has."""
        self.launch, self.parts = launch, parts
        self.seconds: dict[str, float] = {}

    @contextmanager
    def round(self, title: str) -> Iterator[None]:
        """Show a progress bar over the parts that follow; title: what they are of, e.g. "ec, seed 0"."""
        self._title, quiet = title, 0.0 if sys.stderr.isatty() else QUIET
        bar = tqdm(
            total=self.parts,
            desc=title,
            unit="part",
            dynamic_ncols=True,
            disable=not self.launch.main,
            miniters=0,  # so that time alone decides
            mininterval=quiet,
            delay=quiet,
        )
        with bar as self._bar:
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Show that this is done within the context and measure it, work that waits on the device included."""
        self._bar.set_description_str(f"{self._title}: {name}", refresh=False)
        self._bar.update(0)
        self.launch.synchronise()
        started = time.monotonic()
        yield
        self.launch.synchronise()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        self._bar.update()

    def report(self) -> str:
        """Return one line: each part's seconds and its share of all of them."""
        total = sum(self.seconds.values())
        return ", ".join(f"{name} {spent:.1f} s ({spent / total:.0%})" for name, spent in self.seconds.items())
