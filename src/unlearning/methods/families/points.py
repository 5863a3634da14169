"""Where a feature loss acts: on the penultimate feature alone, or, as EC does it, at every stage of the network."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlearning.bounds import Layers, Weights
from unlearning.data.batches import Batch
from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.engine.validation import eval_mode
from unlearning.errors import InputError
from unlearning.models.supervision import FINAL, SupervisedNetwork, Supervision
from unlearning.models.taps import check_layers, in_depth_order, stages
from unlearning.params import Block


class EveryPoint(Block):
    """The parameters an `_ec` form has besides its method's own."""

    layer_weights: Weights  # w, one per supervision point, in depth order
    modules: bool  # off: pool the raw stage features (paper 4.3, "w/o EC modules")
    layer_ce: bool  # off: cross-entropy at the final classifier only (paper 4.3 and A.3)
    extra_points: Layers  # further layers, pooled without a module (paper 4.3, "+ final backbone blocks")


@dataclass(frozen=True)
class Points:
    """A network that can be read at its supervision points, and the weight w of each."""

    network: SupervisedNetwork
    weights: list[float]


def final_point(run: Run) -> Points:
    """Return the model with one supervision point: penultimate feature and classifier."""
    return Points(SupervisedNetwork(run.model, points=[]), weights=[1.0])


def every_point(run: Run, cfg: EveryPoint) -> Points:
    """Return the model with a supervision point at each stage, through the EC modules it starts with.

    Raises InputError when the number of weights is not that of the points.
    """
    points = points_of(run.model, cfg, run.name)
    modules = run.modules if cfg.modules else None
    network = SupervisedNetwork(run.model, points, modules, cfg.layer_ce, run.launch.fp32_modules)
    return Points(network, list(cfg.layer_weights))


def points_of(model: nn.Module, cfg: EveryPoint, method: str) -> list[str]:
    """Return the layers that are supervision points beside the final one, in depth order.

    Raises InputError that begins with the method's key for an unknown layer and for weights that are not one a point.
    """
    points = [stage.module for stage in stages(model)[:-1]]
    points = in_depth_order(model, points + check_layers(model, cfg.extra_points, f"{method}.extra_points"))
    names = [*points, FINAL]
    if len(cfg.layer_weights) != len(names):
        raise InputError(
            f"{method}.layer_weights: {len(cfg.layer_weights)} weights for {len(names)} supervision points "
            f"({', '.join(names)}); give one each"
        )
    return points


@torch.no_grad()
def scan_points(
    run: Run, network: SupervisedNetwork, part: Part, label: int | None = None
) -> Iterator[tuple[Batch, list[Supervision]]]:
    """Yield a part of the training split, or of a class, once with its supervision points, in eval mode: statistics."""
    placed = run.launch.in_precision(run.launch.place(network))
    with eval_mode(network):
        for batch in run.scan(part, label=label):
            yield batch, placed(batch.images)


@dataclass(frozen=True)
class Side:
    """The forget or the retain images of one step at one supervision point, those of all processes together."""

    embedding: Tensor  # (B, d), L2-normalised, with gradient
    labels: Tensor  # int64 (B,)


def sides(run: Run, batch: Batch, points: list[Supervision]) -> list[Side]:
    """Return one side of a step at each point."""
    labels = run.gather(batch.labels)
    return [Side(run.gather(point.embedding), labels) for point in points]
