"""From what each model tells alone to the numbers that set it beside the original and the retrained model of its seed.

What several seeds say together is `over_seeds.py`.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.evaluation.shared import PENULTIMATE, Shared
from unlearning.metrics.cka import ESTIMATORS, LEAST, cka_or_none
from unlearning.metrics.closeness import js_divergence, retrain_gap
from unlearning.metrics.collapse import Diagnostics, spread
from unlearning.metrics.h_mean import h_mean, normalised_scores, vanishing
from unlearning.metrics.head_recovery import recovered_accuracy, recovered_head
from unlearning.metrics.idi import Trials, Undefined, doubts, information_difference_index, mean_of
from unlearning.metrics.lira import lira_auc, lira_scores
from unlearning.metrics.membership import JOINT
from unlearning.metrics.rmia import rmia_scores
from unlearning.params import CKA, IDI, RMIA

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
CURVES = ("prototype", "relearn")  # attacks with a number for each number of images
REVIVALS = ("retain_only", "batchnorm")  # attacks that see no label of a forgotten class
COLLAPSED = 0.1  # of the original's effective rank, or of its spread, on the forget set: less is marked

Metrics = dict[str, Any]  # metrics/models/<model>.json, the fixed contract: numbers, and {set: number} for k-NN


@dataclass(frozen=True)
class Shadow:
    """What one shadow model of LiRA and RMIA says: scaled logits of images, and which it was trained without."""

    train: Tensor  # float64 (training images,)
    train_out: Tensor  # bool (training images,)
    test: Tensor  # float64 (test images,); it saw none of them


@dataclass(frozen=True)
class Evidence:
    """What the stages before wrote about one model of one seed."""

    raw: dict[str, Any]  # of metrics/raw/<model>.json
    shared: Shared  # metrics/features/<model>/<seed>.safetensors
    cost: dict[str, Any]  # of metrics/cost/<model>.json; empty for a model that was given
    transfer: dict[str, float] = field(default_factory=dict)  # {downstream set: percent}, of metrics/transfer/


@dataclass(frozen=True)
class Yardstick:
    """What every model is set beside."""

    original: Evidence
    retrained: Evidence | None  # None: nobody trained one
    floor: dict[str, Any]  # what attacks give back in the retrained model; empty without one
    manifest: Manifest
    idi: IDI
    cka: CKA
    rmia: RMIA
    shadows: list[Shadow]
    undefined: dict[str, str]  # {number: why it cannot be computed}


@dataclass(frozen=True)
class Result:
    metrics: Metrics
    details: dict[str, Any]


def yardstick(
    original: Evidence,
    retrained: Evidence | None,
    manifest: Manifest,
    idi: IDI,
    cka: CKA,
    rmia: RMIA,
    shadows: list[Shadow],
) -> Yardstick:
    """Return what every model of a seed is set beside, with what is computed once for all of them.

    Without a retrained model everything that needs one is left out.
    """
    undefined = undefined_idi(original, retrained, idi) if retrained else {}
    floor = comes_back(retrained, original) if retrained else {}
    return Yardstick(original, retrained, floor, manifest, idi, cka, rmia, shadows, undefined)


def alike(beside: dict[int, Yardstick]) -> dict[int, Yardstick]:
    """Return the yardsticks so that a number undefined for one seed is left out for all: means are over all seeds."""
    reasons: dict[str, list[str]] = {}
    for seed, one in beside.items():
        for key, reason in one.undefined.items():
            reasons.setdefault(key, []).append(f"seed {seed}: {reason}")
    undefined = {key: f"{key} is left out; {'; '.join(texts)}" for key, texts in reasons.items()}
    return {seed: replace(one, undefined=undefined) for seed, one in beside.items()}


def undefined_idi(original: Evidence, retrained: Evidence, cfg: IDI) -> dict[str, str]:
    """Return {"idi": reason} where the original knows hardly more than the retrained model, else nothing."""
    if not original.raw["mutual_information"]:
        return {}
    try:
        first, gold = nats_of(original, cfg.estimate), nats_of(retrained, cfg.estimate)
        information_difference_index(first, first, gold, cfg.floor)
    except Undefined as error:
        return {"idi": str(error)}
    return {}


def compare_model(own: Evidence, beside: Yardstick) -> Result:
    """Return all numbers of one model of one seed; those that are undefined are left out, the notes say why."""
    alignment, information, transfer = cka_numbers(own, beside), idi_numbers(own, beside), knn_numbers(own, beside)
    percentages, near = comparable(own), closeness(own, beside)
    metrics: Metrics = {key: percentages[key] for key in ACCURACIES if key in percentages}
    if alignment["cka_layers"][PENULTIMATE] is not None:
        metrics["cka"] = alignment["cka_layers"][PENULTIMATE]
    metrics |= {key: information[key] for key in ("idi", "idi_abs") if key in information}
    metrics |= transfer
    scores = normalised_scores(metrics, transfer.get("knn_gap"))
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
        "notes": [*missing_notes(own.raw), *own.raw["too_few"], *cka_notes(own, beside.cka), *collapsed]
        + idi_notes(information)
        + h_mean_notes(scores),
    }
    return Result(metrics, details)


def cka_numbers(own: Evidence, beside: Yardstick) -> dict[str, Any]:
    """Return CKA of the test forget set to the original and the retrained model per layer, and by every estimator."""
    layers, original = own.shared.layers, beside.original.shared.layers
    others = {"cka_layers": beside.original} | ({"cka_retrained": beside.retrained} if beside.retrained else {})
    return {
        **{
            key: {
                layer: cka_or_none(beside.cka.estimator, other.shared.layers[layer], values)
                for layer, values in layers.items()
            }
            for key, other in others.items()
        },
        "cka_estimators": {name: cka_or_none(name, original[PENULTIMATE], layers[PENULTIMATE]) for name in ESTIMATORS},
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
    """Return the test forget accuracy of the head that maps the model's features to the original's logits."""
    if not torch.equal(own.shared.train_labels, original.shared.train_labels):
        raise InputError("the models were evaluated on different samples; run `dvc repro`, which evaluates them again")
    head = recovered_head(own.shared.train, original.shared.train_logits)
    return recovered_accuracy(head, own.shared.layers[PENULTIMATE], own.shared.test_forget_labels)


def shadow_attacks(own: Shared, beside: Yardstick) -> dict[str, Any]:
    """Return the AUCs of the attacks by shadow models on the forgotten classes, training against test images.

    Nothing where there are no shadow models, or no images of one of the two kinds.
    """
    shadows, train, test = beside.shadows, own.train_forget_positions, own.test_forget_positions
    if not shadows or not len(train) or not len(test):
        return {}
    says = torch.stack([torch.cat([shadow.train[train], shadow.test[test]]) for shadow in shadows])
    out = torch.stack([torch.cat([shadow.train_out[train], torch.ones(len(test)).bool()]) for shadow in shadows])
    target = torch.cat([own.train_forget_scaled, own.test_forget_scaled])
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


def closeness(own: Evidence, beside: Yardstick) -> dict[str, Any]:
    """Return the distances to the retrained model, and what the mean gap is over; nothing without such a model."""
    if beside.retrained is None:
        return {}
    percentages, gold = comparable(own), comparable(beside.retrained)
    said, gold_said = own.shared.test_forget_logits, beside.retrained.shared.test_forget_logits
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
    model, first, gold = (nats_of(one, estimate) for one in (own, beside.original, beside.retrained))
    result = information_difference_index(model, first, gold, beside.idi.floor)
    held_out, train = (mean_of(nats_of(own, one)) for one in ("held_out", "train"))
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


def nats_of(evidence: Evidence, estimate: str) -> Trials:
    """Return {layer: [nats, one a trial]} by one estimate, "held_out" or "train"."""
    measured = evidence.raw["mutual_information"]
    return {layer: [trial[estimate] for trial in trials] for layer, trials in measured.items()}


def missing_notes(raw: dict[str, Any]) -> list[str]:
    """Return which accuracies are left out for want of images."""
    images = {
        "forget_acc": "training image to forget: FA, and all that is built on such images",
        "test_forget_acc": "test image to forget that the model has not seen: TFA and MIA",
        "test_retain_acc": "test image to keep that the model has not seen: TRA and ECE",
    }
    return [f"there is no {what} are left out" for key, what in images.items() if raw[key] is None]


def cka_notes(own: Evidence, cfg: CKA) -> list[str]:
    """Return why CKA is left out, where it is."""
    count, least = len(own.shared.test_forget_labels), LEAST[cfg.estimator]
    return [] if count >= least else [f"cka needs {least} test images to forget ({cfg.estimator}); there is {count}"]


def idi_notes(information: dict[str, Any]) -> list[str]:
    """Return why IDI is unsure."""
    return list(information.get("doubts", []))


def h_mean_notes(scores: dict[str, float]) -> list[str]:
    """Return which scores alone make H-Mean 0."""
    return [f"H-Mean is 0 because the score of {key} is 0 or below" for key in vanishing(scores)]


def collapse_notes(own: dict[str, Diagnostics], original: dict[str, Diagnostics]) -> list[str]:
    """Return a warning where the forget set's features nearly collapsed: then a low CKA says no more than that."""
    if own["forget"] is None:
        return []
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
