"""Models under attack on the small world, and the attacks' parameters as in params.yaml but for changes."""

from typing import Any

import numpy as np
from torch import nn

from tests.conftest import NO_AUGMENT, values_of_params
from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import launch
from unlearning.evaluation.attacks import Target, target
from unlearning.evaluation.forward_pass import forward_pass
from unlearning.evaluation.numbers import with_masks
from unlearning.params import Attacks, BatchNormAttack, LinearProbe, Prototype, Relearn, RetainOnly


def _block(name: str, changes: dict[str, object]) -> dict[str, Any]:
    return {**values_of_params()[name], **changes}


def attacks(**changes: object) -> Attacks:
    return Attacks(**_block("attacks", {"shots": [1, 3], **changes}))


def prototype(**changes: object) -> Prototype:
    return Prototype(**_block("prototype", changes))


def relearn(**changes: object) -> Relearn:
    return Relearn(**_block("relearn", {"augment": NO_AUGMENT, "draws": 2, **changes}))


def retain_only(**changes: object) -> RetainOnly:
    return RetainOnly(**_block("retain_only", {"augment": NO_AUGMENT, **changes}))


def batchnorm(**changes: object) -> BatchNormAttack:
    return BatchNormAttack(**_block("batchnorm", {"batch_size": 16, **changes}))


def probe() -> LinearProbe:
    return LinearProbe(**_block("linear_probe", {}))


def victim_of(model: nn.Module, world: Manifest, cfg: Attacks, keep: np.ndarray | None = None) -> Target:
    """Return the target; `keep`: training positions whose features are kept."""
    where = launch("fp32")
    train, test = (ImageSplit(world, split, where.device) for split in ("train", "test"))
    passes = with_masks(
        forward_pass(model, train, where, 32, "train", keep), forward_pass(model, test, where, 32, "test"), world
    )
    return target(model, world, passes, train, test, cfg, where)
