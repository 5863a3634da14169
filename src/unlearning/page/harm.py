"""What each class to keep lost: the test accuracy of every class under every model."""

from collections.abc import Mapping
from dataclasses import dataclass

from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER


@dataclass(frozen=True)
class Worst:
    model: str
    lost: dict[str, float]  # {class: points of test accuracy lost to the original}, worst first


def accuracies(models: Mapping[str, Summary]) -> dict[str, list[float | None]]:
    """Return {model: test accuracy of each class, percent, one decimal}; None for a class without test images."""
    return {
        name: [None if value is None else round(value, 1) for value in one.mean["test_acc_per_class"]]
        for name, one in models.items()
        if name != ANOTHER
    }


def worst(models: Mapping[str, Summary]) -> list[Worst]:
    """Return the classes to keep that lost most under each model, as the report names them."""
    return [
        Worst(name, one.details["worst_retain_classes"])
        for name, one in models.items()
        if name not in ("original", ANOTHER)
    ]
