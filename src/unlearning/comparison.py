"""From what each model tells alone to the numbers that set it beside the original and the retrained model."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.evaluation.shared import PENULTIMATE, Shared
from unlearning.metrics.cka import ESTIMATORS
from unlearning.metrics.closeness import js_divergence, retrain_gap
from unlearning.metrics.collapse import Diagnostics, spread
from unlearning.metrics.h_mean import h_mean, normalised_scores, vanishing
from unlearning.metrics.head_recovery import recovered_accuracy, recovered_head
from unlearning.metrics.idi import IDIResult, Trials, information_difference_index, mean_of
from unlearning.metrics.lira import lira_auc, lira_scores
from unlearning.metrics.membership import JOINT
from unlearning.params import CKA, IDI

ACCURACIES = ("forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc")
AS_MEASURED = ("collapse", "calibration_error", "train_acc_per_class", "test_acc_per_class")
WORST = 10  # retain classes named in the report
UNSURE = 0.1  # of H(Y): held-out and training estimates further apart than this are marked
COLLAPSED = 0.1  # of the original's effective rank, or of its spread, on the forget set: less is marked

Metrics = dict[str, Any]  # metrics/models/<model>.json, the fixed contract: numbers, and {set: number} for k-NN


@dataclass(frozen=True)
class Shadow:
    """What one shadow model of LiRA says: scaled logits of images, and which it was trained without."""

    train: Tensor  # float64 (training images,)
    train_out: Tensor  # bool (training images,)
    test: Tensor  # float64 (test images,); it saw none of them


@dataclass(frozen=True)
class Evidence:
    """What the stages before wrote about one model."""

    raw: dict[str, Any]  # metrics/raw/<model>.json
    shared: Shared  # metrics/features/<model>.safetensors
    cost: dict[str, Any]  # metrics/cost/<model>.json; empty for a model that was given
    transfer: dict[str, float] = field(default_factory=dict)  # {downstream set: percent}, of metrics/transfer/


@dataclass(frozen=True)
class Result:
    metrics: Metrics
    details: dict[str, Any]  # metrics/details/<model>.json


def compare_model(
    name: str, evidence: dict[str, Evidence], manifest: Manifest, idi: IDI, cka: CKA, shadows: list[Shadow]
) -> Result:
    """Return all numbers of one model; raises InputError when IDI's denominator is below its floor."""
    own, original, retrained = evidence[name], evidence["original"], evidence["retrained"]
    alignment = cka_numbers(own, original, retrained, cka)
    attacks = attack_numbers(own, original, retrained, shadows)
    metrics: Metrics = {key: float(own.raw[key]) for key in ACCURACIES}
    metrics["cka"] = alignment["cka_layers"][PENULTIMATE]
    details: dict[str, Any] = alignment | attacks
    notes = collapse_notes(own.raw["collapse"], original.raw["collapse"])
    if own.raw["mutual_information"]:
        result = idi_of(own, original, retrained, idi)
        metrics |= {"idi": result.idi, "idi_abs": result.idi_abs}
        details["idi"] = idi_details(own, result)
        notes += idi_notes(details["idi"])
    if own.transfer:
        gaps = {key: abs(value - retrained.transfer[key]) for key, value in own.transfer.items()}
        metrics |= {"knn": own.transfer, "knn_gap": gaps}
    scores = normalised_scores(metrics, metrics.get("knn_gap"))
    metrics["h_mean"] = h_mean(scores)
    notes += [f"H-Mean is 0 because the score of {key} is 0 or below" for key in vanishing(scores)]
    metrics["retrain_gap"] = retrain_gap(comparable(own), comparable(retrained))
    metrics["linear_probe"] = own.raw["linear_probe"]["all"]["forget"]
    if own.raw["membership"]:
        metrics["mia_auc"] = own.raw["membership"][JOINT]["auc"]
    if "seconds" in own.cost:
        metrics["seconds"] = float(own.cost["seconds"])
    details |= {
        "js_divergence": js_divergence(own.shared.test_forget_logits, retrained.shared.test_forget_logits),
        "retrain_gap_over": sorted(set(comparable(own)) & set(comparable(retrained))),
        "h_mean_scores": scores,
        "cost": relative_cost(own.cost, retrained.cost),
    }
    details["worst_retain_classes"] = worst_hurt(own, original, manifest)
    details |= {key: own.raw[key] for key in AS_MEASURED}
    details["notes"] = notes
    return Result(metrics, details)


def cka_numbers(own: Evidence, original: Evidence, retrained: Evidence, cka: CKA) -> dict[str, Any]:
    """Return CKA of the test forget set to the original and the retrained model per layer, and by every estimator."""
    estimate = ESTIMATORS[cka.estimator]
    layers = own.shared.layers
    return {
        "cka_layers": {layer: estimate(original.shared.layers[layer], values) for layer, values in layers.items()},
        "cka_retrained": {layer: estimate(retrained.shared.layers[layer], values) for layer, values in layers.items()},
        "cka_estimators": {
            name: other(original.shared.layers[PENULTIMATE], layers[PENULTIMATE]) for name, other in ESTIMATORS.items()
        },
    }


def attack_numbers(own: Evidence, original: Evidence, retrained: Evidence, shadows: list[Shadow]) -> dict[str, Any]:
    """Return what brings the classes back, with its gap to the same attack on the retrained model where it has one."""
    probes, gold = own.raw["linear_probe"], retrained.raw["linear_probe"]
    relearned, relearned_gold = own.raw["relearn"], retrained.raw["relearn"]
    recovered, recovered_gold = (head_recovery(one, original) for one in (own, retrained))
    numbers: dict[str, Any] = {
        "linear_probe": probes | {"gap": probes["all"]["forget"] - gold["all"]["forget"]},
        "head_recovery": {"forget": recovered, "gap": recovered - recovered_gold},
        "relearn": {"forget": relearned, "gap": {k: relearned[k] - relearned_gold[k] for k in relearned}},
        "membership": own.raw["membership"],
    }
    if shadows:
        numbers["lira"] = asdict(lira(own.shared, shadows))
    return numbers


def head_recovery(own: Evidence, original: Evidence) -> float:
    """Return the test forget accuracy of the head that maps the model's features to the original's logits."""
    if not torch.equal(own.shared.train_labels, original.shared.train_labels):
        raise InputError("the models were evaluated on different samples; run `dvc repro`, which evaluates them again")
    head = recovered_head(own.shared.train, original.shared.train_logits)
    return recovered_accuracy(head, own.shared.layers[PENULTIMATE], own.shared.test_forget_labels)


def lira(own: Shared, shadows: list[Shadow]) -> Any:
    """Return the AUC of the likelihood-ratio attack on the forgotten classes, training against test images."""
    train, test = own.train_forget_positions, own.test_forget_positions
    says = torch.stack([torch.cat([shadow.train[train], shadow.test[test]]) for shadow in shadows])
    out = torch.stack([torch.cat([shadow.train_out[train], torch.ones(len(test)).bool()]) for shadow in shadows])
    scores = lira_scores(torch.cat([own.train_forget_scaled, own.test_forget_scaled]), says, out)
    return lira_auc(scores, torch.arange(len(scores)) < len(train))


def comparable(evidence: Evidence) -> dict[str, float]:
    """Return the percentages that closeness to the retrained model is measured over."""
    raw = evidence.raw
    numbers = {key: float(raw[key]) for key in ACCURACIES} | {"linear_probe": raw["linear_probe"]["all"]["forget"]}
    if raw["membership"]:
        numbers["mia_auc"] = raw["membership"][JOINT]["auc"]
    return numbers | {f"knn.{name}": value for name, value in evidence.transfer.items()}


def idi_of(own: Evidence, original: Evidence, retrained: Evidence, idi: IDI) -> IDIResult:
    """Return IDI by the estimate that params.yaml chooses."""
    model, first, gold = (information(one, idi.estimate) for one in (own, original, retrained))
    return information_difference_index(model, first, gold, idi.floor)


def information(evidence: Evidence, estimate: str) -> Trials:
    """Return {layer: [nats, one a critic seed]} by one estimate, "held_out" or "train"."""
    measured = evidence.raw["mutual_information"]
    return {layer: [trial[estimate] for trial in trials] for layer, trials in measured.items()}


def idi_details(own: Evidence, result: IDIResult) -> dict[str, Any]:
    """Return per-layer values in nats, and whether held-out and training estimates disagree (memorising critics)."""
    held_out, train = (mean_of(information(own, estimate)) for estimate in ("held_out", "train"))
    entropy = float(own.raw["label_entropy"])
    return {
        "std": result.std,
        "idi_denominator": result.denominator,
        "label_entropy": entropy,
        "held_out": held_out,
        "train": train,
        "differences": result.differences,
        "unsure": any(abs(held_out[layer] - train[layer]) > UNSURE * entropy for layer in held_out),
    }


def idi_notes(details: dict[str, Any]) -> list[str]:
    """Return a warning where the critics memorised."""
    unsure = "IDI is unsure: held-out and training estimates differ by more than a tenth of H(Y)"
    return [unsure] if details["unsure"] else []


def collapse_notes(own: dict[str, Diagnostics], original: dict[str, Diagnostics]) -> list[str]:
    """Return a warning where the forget set's features nearly collapsed: then a low CKA says no more than that."""
    measures = {
        "effective rank of the forget set": lambda one: one["forget"]["effective_rank"],
        "variance of the forget set over that of the retain set": spread,
    }
    values = {name: (measure(own), measure(original)) for name, measure in measures.items()}
    return [
        f"collapsed: the {name} is {ours:.3g}, the original's {first:.3g}"
        for name, (ours, first) in values.items()
        if ours < COLLAPSED * first
    ]


def relative_cost(cost: dict[str, Any], retraining: dict[str, Any]) -> dict[str, Any]:
    """Return the cost with its time over retraining's, where both are known."""
    if "seconds" not in cost or not retraining.get("seconds"):
        return cost
    return cost | {"seconds_over_retraining": cost["seconds"] / retraining["seconds"]}


def worst_hurt(own: Evidence, original: Evidence, manifest: Manifest) -> dict[str, float]:
    """Return {class: points of test accuracy lost to the original} of the ten worst-hurt retain classes, worst first.

    A class without test images is left out.
    """
    pairs = zip(original.raw["test_acc_per_class"], own.raw["test_acc_per_class"], strict=True)
    lost = {
        manifest.classes[label]: before - after
        for label, (before, after) in enumerate(pairs)
        if label not in manifest.forget_classes and before is not None
    }
    return dict(sorted(lost.items(), key=lambda item: -item[1])[:WORST])
