"""Floating-point operations, counted as the work is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Give what tells, so far, the multiplications and additions of matrix products and convolutions.

    Those of backward passes are counted too.
    """
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: backward}) as counter:
        yield lambda: int(counter.get_total_flops())


def count_flops(work: Callable[[], object]) -> int:
    """Return the operations of a piece of work, as `counting` has them."""
    with counting() as so_far:
        work()
        return so_far()


def backward(output: Shape, given: Shape, weight: Shape, *rest: Any, **_: Any) -> int:
    """Return the operations of a convolution's backward pass: a forward one's for each gradient that is asked for.

    Torch's own count takes no notice of groups: a depthwise convolution would count as often as it has channels.
    """
    asked = rest[-1]
    transposed = rest[4]
    batch, places = output[0], prod((given if transposed else output)[2:])
    return 2 * batch * places * prod(weight) * (int(asked[0]) + int(asked[1]))  # of images, of weights
