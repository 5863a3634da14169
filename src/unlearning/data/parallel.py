"""One look at each of many files, by several threads: who reads or hashes lets go of Python's lock."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 256  # items a task: a million tasks of one file each would take a gigabyte


def mapped(look: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield look(item) of each item, in their order; raises what `look` raises."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with ThreadPoolExecutor() as pool:
        for results in pool.map(lambda chunk: [look(item) for item in chunk], chunks):
            yield from results
