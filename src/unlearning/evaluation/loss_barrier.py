"""Two numbers that predict how easily a model relearns: weight distance and the loss barrier to the original.

Direction: predictors of resistance to relearning, no goals: no barrier means that the model lies in the original's
basin, where what was forgotten is near. Range: barrier in nats, about 0 (linearly connected) upwards; a little below 0
where the loss sags between the two. Data: retained training images, on which both ends are good: of forgotten ones the
loss rises from one end to the other in any case. Source: Siddiqui et al. 2025 (arXiv 2505.22310), whose code
interpolates weights and batch statistics alike; the barrier is Frankle et al. 2020 (arXiv 1912.05671), against the
straight line between the ends' losses (Entezari et al. 2022, arXiv 2110.06296). Expected: original 0 and 0, retrained
a high barrier, methods that change little none.

Batch statistics are interpolated, as in the code above, and not estimated anew: then both ends are the models
themselves, and no forward pass is needed but those of the losses. A part of the barrier between models far apart is
that interpolated features vary too little (Jordan et al. 2023, arXiv 2211.08403), which is no less a sign of distance.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.data.batches import Batch, ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.data.samples import kept_sample
from unlearning.engine.launch import Launch
from unlearning.metrics.alone.weight_distance import weight_distance
from unlearning.params import Predictors

State = dict[str, Tensor]


def retained_batches(manifest: Manifest, train: ImageSplit, cfg: Predictors, batch_size: int) -> list[Batch]:
    """Return `cfg.max_samples` retained training images, the same for every model, as batches on the device."""
    retain = manifest.select("train", "retain")
    some = retain[kept_sample(len(retain), cfg.max_samples, cfg.seed)]
    return list(train.batches(in_order(some, batch_size)))


def predictors(
    model: nn.Module, original: nn.Module, batches: list[Batch], launch: Launch, points: int
) -> dict[str, float]:
    """Return {"weight_distance": relative L2, "loss_barrier": nats}; {} for a model of another architecture.

    batches: retained training images, seen once for each end and each of `points` (>= 1) steps between. Neither model
    is changed.
    """
    if shapes(model.state_dict()) != shapes(original.state_dict()):
        return {}
    own, first = dict(model.named_parameters()), dict(original.named_parameters())
    return {
        "weight_distance": weight_distance(own, first),
        "loss_barrier": barrier(losses_between(original, model, batches, launch, points)),
    }


def shapes(state: State) -> dict[str, torch.Size]:
    """Return {name: shape}."""
    return {name: value.shape for name, value in state.items()}


def barrier(losses: Tensor) -> float:
    """Return max_t [L(theta_t) - ((1 - t) L(theta_0) + t L(theta_1))] over the points between the ends.

    losses: (points + 2,) at equally spaced t from 0 to 1, both ends among them.
    """
    straight = torch.lerp(losses[0], losses[-1], torch.linspace(0, 1, len(losses), dtype=losses.dtype))
    return (losses - straight)[1:-1].max().item()


@torch.no_grad()
def losses_between(begin: nn.Module, end: nn.Module, batches: list[Batch], launch: Launch, points: int) -> Tensor:
    """Return the mean cross-entropy in eval mode on the line from `begin` to `end`, float64 (points + 2,)."""
    walker = launch.place(copy.deepcopy(begin)).eval()
    network = launch.in_precision(walker)
    first, last = (on_device(one.state_dict(), launch.device) for one in (begin, end))
    losses = []
    for t in torch.linspace(0, 1, points + 2).tolist():
        walker.load_state_dict(between(first, last, t))
        losses.append(mean_loss(network, batches))
    return torch.tensor(losses, dtype=torch.float64)


def on_device(state: State, device: torch.device) -> State:
    """Return a copy on the device."""
    return {name: value.detach().to(device, copy=True) for name, value in state.items()}


def between(begin: State, end: State, t: float) -> State:
    """Return (1 - t) begin + t end; integers, such as counters of batches, are begin's."""
    return {
        name: torch.lerp(value, end[name], t) if value.is_floating_point() else value for name, value in begin.items()
    }


def mean_loss(network: nn.Module, batches: Iterable[Batch]) -> float:
    """Return the cross-entropy per image, nats."""
    total, count = 0.0, 0
    for batch in batches:
        total += F.cross_entropy(network(batch.images), batch.labels, reduction="sum").item()
        count += len(batch.labels)
    return total / count
