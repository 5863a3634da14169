"""A batch that does not fit into memory, in pieces: the gradients of the whole batch's loss, whatever the loss is.

A contrastive loss compares each image with all others of its batch, so that it cannot be added up from pieces as a
cross-entropy can. Therefore a step has two passes (Gao et al. 2021, "gradient cache"): one without gradient, which
gives what the loss needs of every image; and, when the loss has given its gradient for that, one that takes it through
the network piece by piece. Dropout draws the same in both. It costs one more forward pass.

Batch statistics are those of a piece, as with several processes on a CPU: with BatchNorm the model is another one than
that of whole batches, without it is the same.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.engine.launch import InPrecision

Random = tuple[Tensor, Tensor | None]  # states of the generators of the CPU and of the GPU


@dataclass(frozen=True)
class Call:
    """One call of the network that was computed in pieces, and has not been taken back yet."""

    pieces: list[Tensor]  # images
    random: list[Random]  # before each
    outputs: list[Tensor]  # of the whole batch: what the loss has its gradient for


class InPieces(nn.Module):
    """A network that computes at most so many images at once; `take_back` completes the gradients of a step."""

    def __init__(self, network: InPrecision, most: int) -> None:
        """most: images at once."""
        super().__init__()
        self.network, self.most = network, most
        self._calls: list[Call] = []

    def forward(self, images: Tensor) -> Any:
        """Return what the network gives for the whole batch: tensors, or lists and dataclasses of them."""
        if len(images) <= self.most:
            return self.network(images)
        pieces = list(images.tensor_split(-(-len(images) // self.most)))
        if not torch.is_grad_enabled():
            return _joined([self.network(piece) for piece in pieces])
        random, outputs = [], []
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        with torch.no_grad():
            for piece in pieces:
                random.append(_random(images.device))
                outputs.append(self.network(piece))
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        joined = _mapped(_joined(outputs), lambda tensor: tensor.requires_grad_())
        self._calls.append(Call(pieces, random, list(_tensors(joined))))
        return joined

    def take_back(self) -> None:
        """Take the gradients that the loss has left at the outputs through the network; call it after `backward`."""
        if not self._calls:
            return
        after = _random(self._calls[0].pieces[0].device)
        for call in self._calls:
            for number, piece in enumerate(call.pieces):
                _set_random(call.random[number], piece.device)
                is_last = call is self._calls[-1] and number == len(call.pieces) - 1
                with nullcontext() if is_last else self.network.without_averaging():
                    self._take_back(piece, [_of_piece(one.grad, number, len(call.pieces)) for one in call.outputs])
        self._calls.clear()
        _set_random(after, piece.device)

    def _take_back(self, piece: Tensor, gradients: list[Tensor | None]) -> None:
        again = zip(_tensors(self.network(piece)), gradients, strict=True)
        pairs = [(own, gradient) for own, gradient in again if own.requires_grad and gradient is not None]
        torch.autograd.backward([own for own, _ in pairs], [gradient for _, gradient in pairs])


def _of_piece(gradient: Tensor | None, number: int, pieces: int) -> Tensor | None:
    """Return the rows of one piece, as `forward` has split the images."""
    return None if gradient is None else gradient.tensor_split(pieces)[number]


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield the tensors of an output, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, list):
        for one in output:
            yield from _tensors(one)
    elif is_dataclass(output):
        for field in fields(output):
            yield from _tensors(getattr(output, field.name))


def _mapped(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return an output of the same form with changed tensors."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, list):
        return [_mapped(one, change) for one in output]
    if is_dataclass(output) and not isinstance(output, type):
        return replace(output, **{one.name: _mapped(getattr(output, one.name), change) for one in fields(output)})
    return output


def _joined(outputs: list[Any]) -> Any:
    """Return the outputs of all pieces as one of the whole batch."""
    rows = zip(*(_tensors(output) for output in outputs), strict=True)
    return _mapped(outputs[0], lambda _: torch.cat(next(rows)))


def _random(device: torch.device) -> Random:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random(state: Random, device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
