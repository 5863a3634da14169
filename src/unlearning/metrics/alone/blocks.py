"""Large sets of samples by blocks: what is computed in float64 is never held for all of them at once.

A set of one block gives the same bits as without blocks; with more of them a sum is rounded in another order.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

ROWS = 4096  # samples in a block: 64 MiB in float64 at 2048 dimensions


def blocks(count: int, rows: int | None = None) -> Iterator[slice]:
    """Yield the slices of at most `rows` (None: ROWS) that make up `count`, in order; one empty slice for none."""
    rows = rows or ROWS
    for start in range(0, max(count, 1), rows):
        yield slice(start, min(start + rows, count))


def summed(count: int, part: Callable[[slice], Tensor]) -> Tensor:
    """Return the sum of a part over the blocks of `count` samples; the part's tensor is new, and is added to."""
    slices = blocks(count)
    total = part(next(slices))
    for rows in slices:
        total += part(rows)
    return total


def joined(count: int, part: Callable[[slice], Tensor]) -> Tensor:
    """Return the parts of the blocks of `count` samples one below the other.

    They are written into one tensor: kept one by one, they would lie between the memory that the blocks gave back, and
    no block would find room there again.
    """
    slices = blocks(count)
    first = part(next(slices))
    if len(first) == count:
        return first
    whole = first.new_empty(count, *first.shape[1:])
    whole[: len(first)] = first
    for rows in slices:
        whole[rows] = part(rows)
    return whole


def mean_of_samples(features: Tensor) -> Tensor:
    """Return the mean, float64 (d,), of features (n, d), n >= 1."""
    return summed(len(features), lambda rows: features[rows].double().sum(dim=0)) / len(features)
