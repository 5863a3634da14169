"""One look at each of many files, by several threads: who reads or hashes lets go of Python's lock."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 256  # items a task: a million tasks of one file each would take a gigabyte


def mapped(look: Callable[[Item], Result], items: Sequence[Item], chunk: int = CHUNK) -> Iterator[Result]:
    """Yield look(item) of each item, in their order; `chunk` items are a task. Raises what `look` raises."""
    chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    with ThreadPoolExecutor() as pool:
        for results in pool.map(lambda chunk: [look(item) for item in chunk], chunks):
            yield from results
