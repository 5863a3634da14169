"""Floating-point operations, counted as the work is done."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


def count_flops(work: Callable[[], object]) -> int:
    """Return the multiplications and additions of matrix products and convolutions, backward passes too."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: backward}) as counter:
        work()
    return int(counter.get_total_flops())


def backward(output: Shape, given: Shape, weight: Shape, *rest: Any, **_: Any) -> int:
    """Return the operations of a convolution's backward pass: a forward one's for each gradient that is asked for.

    Torch's own count takes no notice of groups: a depthwise convolution would count as often as it has channels.
    """
    asked = rest[-1]
    transposed = rest[4]
    batch, places = output[0], prod((given if transposed else output)[2:])
    return 2 * batch * places * prod(weight) * (int(asked[0]) + int(asked[1]))  # of images, of weights
