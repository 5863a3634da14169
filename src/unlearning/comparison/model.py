"""All numbers of one model of one seed. What several seeds say together is `over_seeds.py`."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from unlearning.comparison.coming_back import CURVES, REVIVALS, above, comes_back
from unlearning.comparison.evidence import Evidence, nats_of
from unlearning.comparison.notes import cka_notes, collapse_notes, h_mean_notes, idi_notes, missing_notes
from unlearning.comparison.yardstick import Yardstick, layers_of
from unlearning.evaluation.shared import PENULTIMATE, Shared
from unlearning.metrics.alone.lira import lira_auc, lira_scores
from unlearning.metrics.alone.membership import JOINT
from unlearning.metrics.beside.cka import Centred, cka_by_all, cka_or_none
from unlearning.metrics.beside.closeness import js_divergence, retrain_gap
from unlearning.metrics.beside.h_mean import h_mean, normalised_scores
from unlearning.metrics.beside.idi import doubts, information_difference_index, mean_of
from unlearning.metrics.beside.rmia import rmia_scores

ACCURACIES = ("forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc")
AS_MEASURED = (
    "judged",
    "validation",
    "predictors",
    "collapse",
    "calibration_error",
    "train_acc_per_class",
    "test_acc_per_class",
)

Metrics = dict[str, Any]  # metrics/models/<model>.json, the fixed contract: numbers, and {set: number} for k-NN


@dataclass(frozen=True)
class Result:
    metrics: Metrics
    details: dict[str, Any]


def compare_model(own: Evidence, beside: Yardstick) -> Result:
    """Return all numbers of one model of one seed; those that are undefined are left out, the notes say why."""
    alignment, information, transfer = cka_numbers(own, beside), idi_numbers(own, beside), knn_numbers(own, beside)
    percentages = comparable(own)
    near = closeness(own, percentages, beside)
    metrics: Metrics = {key: percentages[key] for key in ACCURACIES if key in percentages}
    by_samples = bool(beside.manifest.forget_samples)
    if alignment["cka_layers"][PENULTIMATE] is not None and not by_samples:
        metrics["cka"] = alignment["cka_layers"][PENULTIMATE]
    metrics |= {key: information[key] for key in ("idi", "idi_abs") if key in information}
    metrics |= transfer
    scores = {} if by_samples else normalised_scores(metrics, transfer.get("knn_gap"))
    if "forget_acc" in scores:
        metrics["h_mean"] = h_mean(scores)
    if near:
        metrics["retrain_gap"] = near.pop("retrain_gap")
    metrics |= {key: percentages[key] for key in ("linear_probe", "mia_auc") if key in percentages}
    if "seconds" in own.cost:
        metrics["seconds"] = float(own.cost["seconds"])
    collapsed = collapse_notes(own.raw["collapse"], beside.original.raw["collapse"])
    details = {
        **alignment,
        **attack_numbers(own, beside),
        **({"idi": {key: value for key, value in information.items() if key not in metrics}} if information else {}),
        **near,
        "h_mean_scores": scores,
        "cost": relative_cost(own.cost, beside.retrained.cost if beside.retrained else {}),
        **{key: own.raw[key] for key in AS_MEASURED},
        "collapsed": bool(collapsed),
        "by_samples": by_samples,
        "notes": [
            *missing_notes(own.raw, beside.manifest),
            *own.raw["too_few"],
            *([] if by_samples else cka_notes(own, beside.cka)),
            *collapsed,
        ]
        + idi_notes(information)
        + h_mean_notes(scores),
    }
    return Result(metrics, details)


def cka_numbers(own: Evidence, beside: Yardstick) -> dict[str, Any]:
    """Return CKA of the test forget set to the original and the retrained model per layer, and by every estimator."""
    estimator, layers = beside.cka.estimator, layers_of(own)
    last = cka_by_all(beside.original_layers[PENULTIMATE], layers[PENULTIMATE])

    def to(other: dict[str, Centred], known: dict[str, float | None]) -> dict[str, float | None]:
        return {
            layer: known[layer] if layer in known else cka_or_none(estimator, other[layer], values)
            for layer, values in layers.items()
        }

    gold = beside.retrained_layers
    return {
        "cka_layers": to(beside.original_layers, {PENULTIMATE: last[estimator]}),
        **({"cka_retrained": to(gold, {})} if gold else {}),
        "cka_estimators": last,
    }


def attack_numbers(own: Evidence, beside: Yardstick) -> dict[str, Any]:
    """Return what brings the classes back, with its gap to the same attack on the retrained model where it has one."""
    back = comes_back(own, beside.original)
    numbers: dict[str, Any] = {
        "linear_probe": own.raw["linear_probe"],
        "head_recovery": {"forget": back["head_recovery"]},
        **{name: own.raw[name] for name in (*CURVES, *REVIVALS)},
    }
    numbers = {
        name: one | ({"gap": above(back[name], beside.floor[name])} if beside.floor else {})
        for name, one in numbers.items()
    }
    return numbers | {"membership": own.raw["membership"]} | shadow_attacks(own.shared, beside)


def shadow_attacks(own: Shared, beside: Yardstick) -> dict[str, Any]:
    """Return the AUCs of the attacks by shadow models on the forgotten classes, training against test images.

    Nothing where there are no shadow models, or no images of one of the two kinds.
    """
    shadows, train, test = beside.shadows, own.train_forget_positions, own.unseen_positions
    if not shadows or not len(train) or not len(test):
        return {}
    says = torch.stack([torch.cat([shadow.train[train], shadow.test[test]]) for shadow in shadows])
    out = torch.stack([torch.cat([shadow.train_out[train], torch.ones(len(test)).bool()]) for shadow in shadows])
    target = torch.cat([own.train_forget_scaled, own.unseen_scaled])
    is_member = torch.arange(len(target)) < len(train)
    scores = {
        "lira": lira_scores(target, says, out),
        "rmia": rmia_scores(target, says, out, ~is_member, beside.rmia.gamma, beside.rmia.offline_a),
    }
    return {name: asdict(lira_auc(values, is_member)) for name, values in scores.items()}


def comparable(evidence: Evidence) -> dict[str, float]:
    """Return the percentages that closeness to the retrained model is measured over, where there are images."""
    raw = evidence.raw
    numbers = {key: raw[key] for key in ACCURACIES}
    numbers["linear_probe"] = raw["linear_probe"]["all"]["forget"]
    if raw["membership"]:
        numbers["mia_auc"] = raw["membership"][JOINT]["auc"]
    for name in CURVES:
        numbers |= {f"{name}.{shots}": value for shots, value in raw[name]["forget"].items()}
    numbers |= {name: raw[name]["forget"] for name in REVIVALS}
    numbers |= {f"knn.{name}": value for name, value in evidence.transfer.items()}
    return {key: float(value) for key, value in numbers.items() if value is not None}


def closeness(own: Evidence, percentages: dict[str, float], beside: Yardstick) -> dict[str, Any]:
    """Return the distances to the retrained model, and what the mean gap is over; nothing without such a model."""
    if beside.retrained is None:
        return {}
    gold = comparable(beside.retrained)
    said, gold_said = own.shared.forget_logits, beside.retrained.shared.forget_logits
    return {
        "retrain_gap": retrain_gap(percentages, gold),
        **({"js_divergence": js_divergence(said, gold_said)} if len(said) else {}),
        "retrain_gap_over": sorted(set(percentages) & set(gold)),
    }


def knn_numbers(own: Evidence, beside: Yardstick) -> Metrics:
    """Return {"knn": {set: percent}, "knn_gap": {set: points from retrained}}; nothing where there is no set."""
    if not own.transfer:
        return {}
    if beside.retrained is None:
        return {"knn": own.transfer}
    gold = beside.retrained.transfer
    return {"knn": own.transfer, "knn_gap": {name: abs(value - gold[name]) for name, value in own.transfer.items()}}


def idi_numbers(own: Evidence, beside: Yardstick) -> dict[str, Any]:
    """Return IDI, its deviation, nats per layer, and whether it is unsure, with the reasons.

    The estimate is the one that params.yaml chooses; nothing where no information was measured, or IDI is undefined.
    """
    if not own.raw["mutual_information"] or "idi" in beside.undefined or beside.retrained is None:
        return {}
    estimate = beside.idi.estimate
    model, first, gold = (nats_of(one.raw, estimate) for one in (own, beside.original, beside.retrained))
    result = information_difference_index(model, first, gold, beside.idi.floor)
    held_out, train = (mean_of(nats_of(own.raw, one)) for one in ("held_out", "train"))
    entropy = float(own.raw["label_entropy"])
    reasons = doubts(held_out, train, entropy, result.std)
    return {
        "idi": result.idi,
        "idi_abs": result.idi_abs,
        "std": result.std,
        "idi_denominator": result.denominator,
        "label_entropy": entropy,
        "held_out": held_out,
        "train": train,
        "differences": result.differences,
        "unsure": bool(reasons),
        "doubts": reasons,
    }


def relative_cost(cost: dict[str, Any], retraining: dict[str, Any]) -> dict[str, Any]:
    """Return the cost with its time over retraining's, where both are known."""
    if "seconds" not in cost or not retraining.get("seconds"):
        return cost
    return cost | {"seconds_over_retraining": cost["seconds"] / retraining["seconds"]}
