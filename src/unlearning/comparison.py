"""From what each model tells alone to the numbers that set it beside the original and the retrained model."""

from dataclasses import dataclass
from statistics import mean
from typing import Any

from torch import Tensor

from unlearning.metrics.cka import linear_cka
from unlearning.metrics.h_mean import h_mean, normalised_scores, vanishing
from unlearning.metrics.idi import IDIResult, Information, difference_sum, relative_difference
from unlearning.params import IDI

ACCURACIES = ("forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc")
UNSURE = 0.1  # of H(Y): held-out and training estimates further apart than this are marked


@dataclass(frozen=True)
class Evidence:
    """What `evaluate` and the training stage wrote about one model."""

    raw: dict[str, Any]  # metrics/raw/<model>.json
    features: dict[str, Tensor]  # layer: pooled features of the test forget set
    cost: dict[str, Any]  # metrics/cost/<model>.json; empty for a model that was given


@dataclass(frozen=True)
class Result:
    metrics: dict[str, float]  # metrics/models/<model>.json, the fixed contract
    details: dict[str, Any]  # metrics/details/<model>.json


def compare_model(name: str, evidence: dict[str, Evidence], idi: IDI) -> Result:
    """Return all numbers of one model; raises InputError when IDI's denominator is below its floor."""
    own, original = evidence[name], evidence["original"]
    cka_layers = {layer: linear_cka(original.features[layer], own.features[layer]) for layer in own.raw["layers"]}
    metrics = {key: float(own.raw[key]) for key in ACCURACIES} | {"cka": cka_layers["penultimate"]}
    details: dict[str, Any] = {"cka_layers": cka_layers, "cost": relative_cost(own.cost, evidence["retrained"].cost)}
    if own.raw["mutual_information"]:
        result = idi_of(name, evidence, idi)
        metrics |= {"idi": result.idi, "idi_abs": result.idi_abs}
        details["idi"] = idi_details(name, evidence, idi, result)
    scores = normalised_scores(metrics)
    metrics["h_mean"] = h_mean(scores)
    if "seconds" in own.cost:
        metrics["seconds"] = float(own.cost["seconds"])
    details |= {"h_mean_scores": scores, "h_mean_vanishing": vanishing(scores)}
    details["test_acc_per_class"] = own.raw["test_acc_per_class"]
    return Result(metrics, details)


def relative_cost(cost: dict[str, Any], retraining: dict[str, Any]) -> dict[str, Any]:
    """Return the cost with its time over retraining's, where both are known."""
    if "seconds" not in cost or not retraining.get("seconds"):
        return cost
    return cost | {"seconds_over_retraining": cost["seconds"] / retraining["seconds"]}


def idi_of(name: str, evidence: dict[str, Evidence], idi: IDI) -> IDIResult:
    """Return IDI by the estimate that params.yaml chooses."""
    model, original, retrained = (information(evidence[key], idi.estimate) for key in (name, "original", "retrained"))
    return relative_difference(model, original, retrained, idi.floor)


def information(evidence: Evidence, estimate: str) -> Information:
    """Return {layer: nats}, the mean over the critics' trials."""
    measured = evidence.raw["mutual_information"]
    return {layer: mean(trial[estimate] for trial in trials) for layer, trials in measured.items()}


def idi_details(name: str, evidence: dict[str, Evidence], idi: IDI, result: IDIResult) -> dict[str, Any]:
    """Return per-layer values in nats, and whether held-out and training estimates disagree (memorising critics)."""
    own = evidence[name]
    held_out, train = information(own, "held_out"), information(own, "train")
    entropy = float(own.raw["label_entropy"])
    original, retrained = (information(evidence[key], idi.estimate) for key in ("original", "retrained"))
    return {
        "idi_denominator": difference_sum(original, retrained),
        "label_entropy": entropy,
        "held_out": held_out,
        "train": train,
        "differences": result.differences,
        "unsure": any(abs(held_out[layer] - train[layer]) > UNSURE * entropy for layer in held_out),
    }
