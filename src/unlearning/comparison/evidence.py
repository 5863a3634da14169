"""What the stages before `compare` wrote, read back (by measured.py)."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unlearning.evaluation.shared import Shared
from unlearning.metrics.beside.idi import Trials

Raw = dict[str, Any]  # of metrics/raw/<model>.json, one seed


@dataclass(frozen=True)
class Shadow:
    """What one shadow model of LiRA and RMIA says: scaled logits of images, and which it was trained without."""

    train: Tensor  # float64 (training images,)
    train_out: Tensor  # bool (training images,)
    test: Tensor  # float64 (test images,); it saw none of them


@dataclass(frozen=True)
class Evidence:
    """What the stages before wrote about one model of one seed."""

    raw: Raw
    shared: Shared  # metrics/features/<model>/<seed>.safetensors
    cost: dict[str, Any]  # of metrics/cost/<model>.json; empty for a model that was given
    transfer: dict[str, float] = field(default_factory=dict)  # {downstream set: percent}, of metrics/transfer/


def nats_of(raw: Raw, estimate: str) -> Trials:
    """Return {layer: [nats, one a trial]} by one estimate, "held_out" or "train"."""
    return {layer: [trial[estimate] for trial in trials] for layer, trials in raw["mutual_information"].items()}
