"""How much of the forgotten classes each attack gives back: of one model, and above the retrained one."""

from typing import Any

import torch

from unlearning.comparison.evidence import Evidence
from unlearning.errors import InputError
from unlearning.evaluation.shared import PENULTIMATE
from unlearning.metrics.beside.head_recovery import recovered_accuracy, recovered_head

CURVES = ("prototype", "relearn")  # attacks with a number for each number of images
REVIVALS = ("retain_only", "batchnorm")  # attacks that see no label of a forgotten class


def comes_back(own: Evidence, original: Evidence) -> dict[str, Any]:
    """Return {attack: test forget accuracy that it gives back, or {number of images: that}}, percent."""
    return {
        "linear_probe": own.raw["linear_probe"]["all"]["forget"],
        "head_recovery": head_recovery(own, original),
        **{name: own.raw[name]["forget"] for name in (*CURVES, *REVIVALS)},
    }


def above(own: Any, floor: Any) -> Any:
    """Return how much more comes back than in the retrained model, in points: a number, or one a number of images.

    None where there is no image to ask.
    """
    if own is None:
        return None
    return {shots: value - floor[shots] for shots, value in own.items()} if isinstance(own, dict) else own - floor


def head_recovery(own: Evidence, original: Evidence) -> float | None:
    """Return the test forget accuracy of the head that maps the model's features to the original's logits.

    None where there is no such test image; forgotten samples have none.
    """
    if not torch.equal(own.shared.train_labels, original.shared.train_labels):
        raise InputError("the models were evaluated on different samples; run `dvc repro`, which evaluates them again")
    if own.raw["judged"]["forget"] is None:
        return None
    head = recovered_head(own.shared.train, original.shared.train_logits)
    return recovered_accuracy(head, own.shared.layers[PENULTIMATE], own.shared.forget_labels)
