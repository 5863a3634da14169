"""metrics/raw/<model>.json: all that was measured of one model alone, a sealed record a seed."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from unlearning.read_back import Hash, Percent, Written, sealed
from unlearning.records.chain import Chain, Record, ShortHash

Nats = Annotated[float, Field(ge=-1000, le=1000)]


class Outcome(Written):
    """Accuracy on what is to be forgotten and on the rest; None without an image."""

    forget: Percent | None
    retain: Percent | None


class Curves(Written):
    """By numbers of images a class."""

    forget: dict[str, Percent | None]
    retain: dict[str, Percent | None]
    forget_std: dict[str, Percent | None]
    retain_std: dict[str, Percent | None]
    chosen: dict[str, dict[str, str | float | None]] = {}


class Probes(Written):
    all: Outcome
    small: Outcome
    layers: dict[str, Outcome]


class Collapse(Written):
    forget: dict[str, float] | None
    retain: dict[str, float]


class Measured(Written):
    """What `evaluation.measuring.measure` returns."""

    layers: Annotated[list[str], Field(min_length=1)]
    forget_acc: Percent | None
    retain_acc: Percent | None
    test_forget_acc: Percent | None
    test_retain_acc: Percent | None
    judged: Outcome
    validation: dict[str, Percent]
    train_acc_per_class: list[Percent | None]
    test_acc_per_class: list[Percent | None]
    collapse: Collapse
    calibration_error: Percent | None
    linear_probe: Probes
    membership: dict[str, dict[str, float]] | None
    prototype: Curves
    relearn: Curves
    retain_only: Outcome
    batchnorm: Outcome
    predictors: dict[str, float]
    mutual_information: dict[str, list[dict[str, Nats]]]
    label_entropy: Nats
    too_few: list[str]
    earlier: "Measured | None" = None  # on the classes that were erased before

    @model_validator(mode="after")
    def _of_the_same_layers_and_classes(self) -> "Measured":
        if len(set(self.layers)) < len(self.layers):
            raise ValueError("layers: one of them stands twice")
        if len(self.train_acc_per_class) != len(self.test_acc_per_class):
            raise ValueError("train_acc_per_class and test_acc_per_class: equally many classes were expected")
        unknown = set(self.linear_probe.layers) - set(self.layers)
        if unknown:
            raise ValueError(f"linear_probe.layers: {min(unknown)!a} is none of the layers")
        return self


class MeasuredChain(Chain):
    """From the model back to the samples, and on to its features."""

    forget: ShortHash  # `Manifest.forget_hash`
    weights: Hash  # of the model's tensors alone
    original: Hash  # SHA-256 of the original's checkpoint that it was set beside
    features: Hash  # SHA-256 of metrics/features/<model>/<seed>.safetensors
    earlier_features: Hash | None = None  # of metrics/features/<model>/earlier/<seed>.safetensors


class MeasuredRecord(Record):
    chain: MeasuredChain
    measured: Measured


def measured_record(chain: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """Return the sealed record."""
    return sealed({"chain": chain, "measured": measured})
