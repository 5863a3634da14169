import copy
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from unlearning.comparison.evidence import Evidence, Shadow
from unlearning.comparison.model import Result, compare_model
from unlearning.comparison.yardstick import alike, undefined_idi, yardstick
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.evaluation.shared import Shared
from unlearning.metrics.beside.cka import debiased_cka, linear_cka, minibatch_cka
from unlearning.params import CKA, IDI, RMIA

SETTINGS = IDI(estimate="held_out", floor=0.05)
FULL = CKA(estimator="full")
RELATIVE = RMIA(gamma=1.0, offline_a=0.3)
LAYERS = ["layer3", "layer4", "penultimate"]
CLASSES, FORGET = ["a", "b", "c", "d"], [1]
ACCURACIES = {"forget_acc": 10.0, "retain_acc": 90.0, "test_forget_acc": 20.0, "test_retain_acc": 80.0}
MANIFEST = Manifest("test", CLASSES, 8, 1, [0.0], [1.0], None, "content", {}, FORGET)
# Nats in two layers. The method knows more than the retrained model in one and less in the other: 0.1 and -0.1.
INFORMATION = {"original": (0.5, 0.6), "retrained": (0.3, 0.3), "method": (0.4, 0.2)}
FORGET_IMAGES, TRAIN_IMAGES = 12, 40


def trials(*values: float) -> list[dict[str, float]]:
    return [{"held_out": value, "train": value} for value in values]


def shared_of(seed: int) -> Shared:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    positions = torch.arange(FORGET_IMAGES)
    return Shared(
        {layer: random(FORGET_IMAGES, 4) for layer in LAYERS},
        random(FORGET_IMAGES, 4),
        torch.ones(FORGET_IMAGES, dtype=torch.int64),
        random(20, 4),
        torch.arange(20) % 4,
        torch.arange(20),
        random(TRAIN_IMAGES, 4),
        random(TRAIN_IMAGES, 4),
        torch.arange(TRAIN_IMAGES) % 4,
        positions,
        random(FORGET_IMAGES).double(),
        positions.clone(),
        random(FORGET_IMAGES).double(),
    )


def curves(few: float, many: float) -> dict[str, dict[str, float]]:
    other = {"1": 75.0, "20": 76.0}
    return {"forget": {"1": few, "20": many}, "retain": other, "forget_std": other, "retain_std": other}


def evidence_of(seed: int, information: tuple[float, float], **changes: Any) -> Evidence:
    auc = {"auc": 50.0 + seed, "low": 45.0, "high": 60.0}
    probe = {"forget": 40.0 + seed, "retain": 70.0}
    spread = {"effective_rank": 3.0, "variance": 1.0, "relative_variance": 0.5, "logit_norm": 2.0}
    raw = ACCURACIES | {
        "layers": LAYERS,
        "mutual_information": {layer: trials(nats) for layer, nats in zip(LAYERS, information, strict=False)},
        "label_entropy": math.log(2),
        "too_few": [],
        "train_acc_per_class": [95.0, 10.0, 85.0, 90.0],
        "test_acc_per_class": [20.0, 80.0 - seed, None, 60.0 - seed],
        "linear_probe": {"all": probe, "small": probe, "layers": dict.fromkeys(LAYERS, probe)},
        "membership": {"all": auc, "loss": auc},
        "prototype": curves(4.0, 40.0 + seed),
        "relearn": curves(5.0 + seed, 30.0 + 2 * seed) | {"chosen": {"1": {"start": "imprinted", "lr": 0.03}}},
        "retain_only": {"forget": 10.0, "retain": 80.0},
        "batchnorm": {"forget": 12.0 - seed, "retain": 79.0},
        "predictors": {"weight_distance": 0.5 * seed, "loss_barrier": 0.1},
        "validation": {"validation_forget_acc": 15.0, "validation_retain_acc": 85.0},
        "judged": {"forget": 20.0, "retain": 80.0},
        "collapse": {"forget": spread, "retain": dict(spread)},
        "calibration_error": 3.0,
    }
    cost = {"seconds": 12.5 * (seed + 1), "steps": 10, "samples": 80}
    return Evidence(raw | changes, shared_of(seed), cost)


def undefined_in(evidence: dict[str, Evidence], idi: IDI = SETTINGS) -> dict[str, str]:
    return undefined_idi(evidence["original"].raw, evidence["retrained"].raw, idi)


@pytest.fixture
def evidence() -> dict[str, Evidence]:
    """Return what was measured of three models; different features, equal accuracies."""
    return {name: evidence_of(seed, nats) for seed, (name, nats) in enumerate(INFORMATION.items())}


@pytest.fixture
def compare(evidence: dict[str, Evidence]) -> Callable[..., Result]:
    def call(name: str, idi: IDI = SETTINGS, cka: CKA = FULL, shadows: list[Shadow] | None = None) -> Result:
        undefined = alike({0: undefined_in(evidence, idi)})
        beside = yardstick(evidence, MANIFEST, idi, cka, RELATIVE, shadows or [], undefined)
        return compare_model(evidence[name], beside)

    return call


def test_the_original_has_cka_100_and_idi_1(compare: Callable[..., Result]) -> None:
    result = compare("original")
    assert result.metrics["cka"] == pytest.approx(100)
    assert result.details["cka_layers"] == pytest.approx(dict.fromkeys(LAYERS, 100))
    assert result.metrics["idi"] == pytest.approx(1)
    assert result.metrics["idi_abs"] == pytest.approx(1)


def test_the_retrained_model_has_idi_0_and_no_distance_to_itself(compare: Callable[..., Result]) -> None:
    result = compare("retrained")
    assert result.metrics["idi"] == result.metrics["idi_abs"] == result.metrics["retrain_gap"] == 0
    assert result.details["js_divergence"] == 0
    assert result.details["cka_retrained"] == pytest.approx(dict.fromkeys(LAYERS, 100))
    assert [result.details[key]["gap"] for key in ("linear_probe", "head_recovery")] == [0, 0]
    assert [result.details[key]["gap"] for key in ("prototype", "relearn")] == [{"1": 0, "20": 0}] * 2
    assert [result.details[key]["gap"] for key in ("retain_only", "batchnorm")] == [0, 0]


def test_idi_abs_does_not_cancel_opposite_signs(compare: Callable[..., Result]) -> None:
    result = compare("method")
    assert result.metrics["idi"] == pytest.approx(0, abs=1e-12)
    assert result.metrics["idi_abs"] == pytest.approx(0.2 / 0.5)
    assert result.details["idi"]["differences"] == pytest.approx({"layer3": 0.1, "layer4": -0.1})
    assert result.details["idi"]["idi_denominator"] == pytest.approx(0.5)


def test_cka_is_layer_by_layer_to_the_original_and_to_the_retrained_model(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    details = compare("method").details
    own = evidence["method"].shared.layers
    for key, other in (("cka_layers", "original"), ("cka_retrained", "retrained")):
        layers = evidence[other].shared.layers
        assert details[key] == {layer: linear_cka(layers[layer], own[layer]) for layer in LAYERS}
        assert list(details[key]) == LAYERS  # in depth order, as they are drawn
    assert compare("method").metrics["cka"] == details["cka_layers"]["penultimate"] < 99


@pytest.mark.parametrize(
    ("estimator", "function"), [("full", linear_cka), ("minibatch", minibatch_cka), ("debiased", debiased_cka)]
)
def test_the_chosen_estimator_of_cka_stands_in_the_metrics_and_all_in_the_details(
    evidence: dict[str, Evidence], compare: Callable[..., Result], estimator: Any, function: Callable[..., float]
) -> None:
    result = compare("method", cka=CKA(estimator=estimator))
    original, own = (evidence[name].shared.layers["penultimate"] for name in ("original", "method"))
    assert result.metrics["cka"] == function(original, own) == result.details["cka_estimators"][estimator]
    assert list(result.details["cka_estimators"]) == ["full", "minibatch", "debiased"]


def test_h_mean_is_over_the_scores_that_exist(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    metrics = compare("method").metrics
    scores = [90, 90, 80, 80, 100 - metrics["cka"], 100]  # the last: IDI is 0
    assert metrics["h_mean"] == pytest.approx(6 / sum(1 / score for score in scores))
    for name, accuracy in (("original", 60.0), ("retrained", 50.0), ("method", 55.0)):
        evidence[name].transfer["birds"] = accuracy
    with_knn = compare("method").metrics
    assert with_knn["h_mean"] == pytest.approx(7 / sum(1 / score for score in [*scores, 95]))
    evidence["method"].raw["mutual_information"] = {}
    without = compare("method").metrics
    assert without["h_mean"] == pytest.approx(6 / sum(1 / score for score in [*scores[:5], 95]))


def test_a_score_of_zero_is_named(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    evidence["method"].raw["forget_acc"] = 100.0
    result = compare("method")
    assert result.metrics["h_mean"] == 0
    assert result.details["notes"] == ["H-Mean is 0 because the score of forget_acc is 0 or below"]
    assert result.details["h_mean_scores"]["forget_acc"] == 0


def test_metrics_are_the_fixed_contract(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    metrics = compare("method").metrics
    keys = {*ACCURACIES, "cka", "idi", "idi_abs", "h_mean", "retrain_gap", "linear_probe", "mia_auc", "seconds"}
    assert set(metrics) == keys
    assert {key: metrics[key] for key in ACCURACIES} == ACCURACIES
    assert (metrics["linear_probe"], metrics["mia_auc"], metrics["seconds"]) == (42.0, 52.0, 37.5)
    for one in evidence.values():
        one.transfer["birds"] = 50.0
    assert set(compare("method").metrics) == keys | {"knn", "knn_gap"}


def test_k_nn_has_its_gap_to_the_retrained_model(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    for name, accuracy in (("original", 60.0), ("retrained", 50.0), ("method", 44.0)):
        evidence[name].transfer["birds"] = accuracy
    assert compare("method").metrics["knn"] == {"birds": 44.0}
    assert compare("method").metrics["knn_gap"] == {"birds": 6.0}
    assert compare("retrained").metrics["knn_gap"] == {"birds": 0.0}


def test_retrain_gap_is_over_accuracies_probe_membership_attacks_and_k_nn(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    evidence["method"].raw["test_retain_acc"] = 74.0  # 6 away; probe and AUC are 1 away, the other three equal
    attacks = 0 + 1 + 1 + 2 + 0 + 1  # prototype and relearning at two numbers of images, retain images, BatchNorm
    assert compare("method").metrics["retrain_gap"] == pytest.approx((6 + 1 + 1 + attacks) / 12)
    over = compare("method").details["retrain_gap_over"]
    assert {"prototype.1", "prototype.20", "relearn.1", "relearn.20", "retain_only", "batchnorm"} < set(over)
    for name, accuracy in (("original", 60.0), ("retrained", 50.0), ("method", 44.0)):
        evidence[name].transfer["birds"] = accuracy
    assert compare("method").metrics["retrain_gap"] == pytest.approx((6 + 1 + 1 + attacks + 6) / 13)
    evidence["method"].raw["membership"] = None
    result = compare("method")
    assert result.metrics["retrain_gap"] == pytest.approx((6 + 1 + attacks + 6) / 12)
    assert "mia_auc" not in result.metrics


def test_divergence_is_that_of_the_predictions_on_the_test_forget_set(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    p, q = (evidence[name].shared.forget_logits.double().softmax(dim=1) for name in ("method", "retrained"))
    expected = np.mean([jensenshannon(one, other, base=2) ** 2 for one, other in zip(p, q, strict=True)])
    assert compare("method").details["js_divergence"] == pytest.approx(expected)


def test_attacks_have_their_gap_to_the_same_attack_on_the_retrained_model(compare: Callable[..., Result]) -> None:
    details = compare("method").details
    assert details["linear_probe"]["gap"] == 1
    assert details["relearn"]["forget"] == {"1": 7.0, "20": 34.0}
    assert details["relearn"]["gap"] == {"1": 1.0, "20": 2.0}
    assert details["relearn"]["chosen"] == {"1": {"start": "imprinted", "lr": 0.03}}
    assert details["prototype"]["gap"] == {"1": 0.0, "20": 1.0}
    assert details["prototype"]["retain"] == {"1": 75.0, "20": 76.0}
    assert details["batchnorm"] == {"forget": 10.0, "retain": 79.0, "gap": -1.0}


def test_a_head_recovered_from_the_originals_own_features_gives_its_answers_back(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    twist = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    shared = evidence["original"].shared
    answers = shared.layers["penultimate"] @ weight
    honest = replace(shared, train_logits=shared.train @ weight, forget_labels=answers.argmax(dim=1))
    evidence["original"] = replace(evidence["original"], shared=honest)
    twisted = {**shared.layers, "penultimate": shared.layers["penultimate"] @ twist}
    hidden = replace(honest, train=shared.train @ twist, layers=twisted)
    evidence["method"] = replace(evidence["method"], shared=hidden)
    assert compare("original").details["head_recovery"]["forget"] == 100
    assert compare("method").details["head_recovery"]["forget"] == 100


def test_features_of_other_samples_are_an_error(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    other = replace(evidence["method"].shared, train_labels=torch.zeros(TRAIN_IMAGES, dtype=torch.int64))
    evidence["method"] = replace(evidence["method"], shared=other)
    with pytest.raises(InputError, match="evaluated on different samples"):
        compare("method")


@pytest.mark.parametrize("attack", ["lira", "rmia"])
def test_shadow_models_give_lira_and_rmia(
    evidence: dict[str, Evidence], compare: Callable[..., Result], attack: str
) -> None:
    assert attack not in compare("method").details
    generator = torch.Generator().manual_seed(3)
    half = torch.arange(FORGET_IMAGES) % 2 == 0
    shadows = [
        Shadow(torch.randn(FORGET_IMAGES, generator=generator).double(), out, torch.zeros(FORGET_IMAGES).double())
        for out in (half, ~half)
    ]
    own = replace(
        evidence["method"].shared,
        train_forget_scaled=torch.full((FORGET_IMAGES,), 9.0).double(),
        unseen_scaled=torch.full((FORGET_IMAGES,), -9.0).double(),
    )
    evidence["method"] = replace(evidence["method"], shared=own)
    assert compare("method", shadows=shadows).details[attack]["auc"] == 100


@pytest.mark.parametrize(("key", "marked"), [("effective_rank", True), ("variance", True), ("logit_norm", False)])
def test_a_collapsed_forget_set_is_noted(
    evidence: dict[str, Evidence], compare: Callable[..., Result], key: str, marked: bool
) -> None:
    assert (compare("method").details["collapsed"], compare("method").details["notes"]) == (False, [])
    raw = copy.deepcopy(evidence["method"].raw)
    raw["collapse"]["forget"][key] *= 0.09  # of the original's, and, for the variance, of its own retain set's
    evidence["method"] = replace(evidence["method"], raw=raw)
    details = compare("method").details
    assert details["collapsed"] == marked
    assert [note.split(":")[0] for note in details["notes"]] == ["collapsed"] * marked


def test_constant_features_are_numbers_not_nan(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    shared = evidence["method"].shared
    constant = {layer: torch.full_like(values, 0.1) for layer, values in shared.layers.items()}
    collapsed = replace(shared, layers=constant, train=torch.full_like(shared.train, 0.1))
    evidence["method"] = replace(evidence["method"], shared=collapsed)
    result = compare("method")
    assert result.metrics["cka"] == 0
    assert json.loads(json.dumps(vars(result), allow_nan=False))["metrics"]["cka"] == 0


def test_cost_is_set_beside_retrainings(compare: Callable[..., Result]) -> None:
    assert compare("method").details["cost"]["seconds_over_retraining"] == pytest.approx(37.5 / 25)


def test_without_mutual_information_there_is_no_idi(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    for one in evidence.values():
        one.raw["mutual_information"] = {}
    result = compare("method")
    assert not [key for key in (*result.metrics, *result.details) if key.startswith("idi")]


def test_a_model_that_was_given_has_no_seconds(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    evidence["original"] = replace(evidence["original"], cost={})
    result = compare("original")
    assert "seconds" not in result.metrics
    assert result.details["cost"] == {}


@pytest.mark.parametrize(("gap", "unsure"), [(-0.11, True), (-0.09, False), (0.0, False), (0.09, False), (0.11, True)])
def test_estimates_that_differ_by_more_than_a_tenth_of_the_label_entropy_are_unsure(
    evidence: dict[str, Evidence], compare: Callable[..., Result], gap: float, unsure: bool
) -> None:
    evidence["method"].raw["mutual_information"]["layer4"][0]["train"] += gap * math.log(2)
    result = compare("method")
    details = result.details["idi"]
    assert details["unsure"] is unsure
    assert [note.startswith("IDI is unsure") for note in result.details["notes"]] == [True] * unsure
    assert details["held_out"] == pytest.approx({"layer3": 0.4, "layer4": 0.2})
    assert details["train"]["layer4"] == pytest.approx(0.2 + gap * math.log(2))


def test_information_is_the_mean_of_the_trials_by_the_chosen_estimate(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    measured = evidence["method"].raw["mutual_information"]
    measured["layer3"] = [{"held_out": 0.3, "train": 0.5}, {"held_out": 0.4, "train": 0.7}]  # means 0.35 and 0.6
    assert compare("method").details["idi"]["differences"]["layer3"] == pytest.approx(0.05)
    train = compare("method", idi=IDI(estimate="train", floor=0.05))
    assert train.details["idi"]["differences"]["layer3"] == pytest.approx(0.3)


def test_the_deviation_over_critic_seeds_stands_in_the_details(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    assert compare("method").details["idi"]["std"] is None
    for name, nats in INFORMATION.items():
        measured = evidence[name].raw["mutual_information"]
        for layer, value in zip(("layer3", "layer4"), nats, strict=True):
            measured[layer] = trials(value, value)
    evidence["method"].raw["mutual_information"]["layer3"] = trials(0.35, 0.45)
    std = compare("method").details["idi"]["std"]
    assert std == pytest.approx(math.sqrt(2) * 0.05 / 0.5)


def test_an_idi_that_would_be_noise_is_left_out_and_the_reason_names_what_to_change(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    with_idi = compare("method")
    evidence["original"] = evidence_of(0, (0.31, 0.32))
    message = r"0\.0300 nats.*layer3, layer4; below idi\.floor = 0\.05.*\(.*layers\).*max_samples.*critic.*epochs"
    undefined = undefined_in(evidence)
    assert list(undefined) == ["idi"]
    assert re.search(message, undefined["idi"])
    result = compare("method")
    assert set(with_idi.metrics) - set(result.metrics) == {"idi", "idi_abs"}
    assert "idi" not in result.details
    assert "idi" not in result.details["h_mean_scores"]
    scores = result.details["h_mean_scores"].values()
    assert result.metrics["h_mean"] == pytest.approx(len(scores) / sum(1 / score for score in scores))


def test_nothing_is_undefined_where_idi_is_more_than_noise_or_was_not_asked_for(evidence: dict[str, Evidence]) -> None:
    assert undefined_in(evidence) == {}
    for one in evidence.values():
        one.raw["mutual_information"] = {}
    assert undefined_in(evidence) == {}


def test_what_is_undefined_in_one_seed_is_left_out_in_all_and_each_such_seed_named(
    evidence: dict[str, Evidence],
) -> None:
    noise = {"idi": "too few nats"}
    assert alike({0: {}, 1: {}}) == {}
    undefined = alike({4: {}, 2: noise, 7: noise})
    assert undefined == {"idi": "idi is left out; seed 2: too few nats; seed 7: too few nats"}
    beside = yardstick(evidence, MANIFEST, SETTINGS, FULL, RELATIVE, [], undefined)
    assert "idi" not in compare_model(evidence["method"], beside).metrics


def test_without_a_retrained_model_all_that_needs_one_is_left_out_and_the_rest_stays(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    alone = yardstick({"original": evidence["original"]}, MANIFEST, SETTINGS, FULL, RELATIVE, [], {})
    own = replace(evidence["method"], transfer={"birds": 44.0})
    result, whole = compare_model(own, alone), compare("method")
    assert set(whole.metrics) - set(result.metrics) == {"idi", "idi_abs", "retrain_gap"}
    needs_one = {"idi", "cka_retrained", "js_divergence", "retrain_gap_over"}
    assert set(whole.details) - set(result.details) == needs_one
    assert result.metrics["knn"] == {"birds": 44.0}
    assert "knn_gap" not in result.metrics
    assert set(result.details["h_mean_scores"]) == {*ACCURACIES, "cka"}
    for attack in ("linear_probe", "head_recovery", "prototype", "relearn", "retain_only", "batchnorm"):
        without_gap = {key: value for key, value in whole.details[attack].items() if key != "gap"}
        assert result.details[attack] == without_gap
    shared = [key for key in result.metrics if key not in ("knn", "h_mean")]
    assert [result.metrics[key] for key in shared] == [whole.metrics[key] for key in shared]


def test_without_a_retrained_model_a_short_run_is_the_floor_of_the_attacks_alone(
    evidence: dict[str, Evidence], compare: Callable[..., Result]
) -> None:
    short = {"original": evidence["original"], "short_run": evidence["retrained"]}
    beside = yardstick(short, MANIFEST, SETTINGS, FULL, RELATIVE, [], {})
    result, whole = compare_model(evidence["method"], beside), compare("method")
    for attack in ("linear_probe", "head_recovery", "prototype", "relearn", "retain_only", "batchnorm"):
        assert result.details[attack] == whole.details[attack]
    assert set(whole.metrics) - set(result.metrics) == {"idi", "idi_abs", "retrain_gap"}
    both = yardstick({**evidence, "short_run": evidence["method"]}, MANIFEST, SETTINGS, FULL, RELATIVE, [], {})
    assert both.floor == beside.floor


@pytest.mark.parametrize(
    ("unseen", "note"),
    [
        ([], []),
        ([2], ["TFA and MIA are without 'c': no test image of it that the model has not seen"]),
        ([2, 3], ["TFA and MIA are without 'c', 'd': no test image of them that the model has not seen"]),
    ],
)
def test_classes_to_forget_without_a_test_image_of_their_own_are_named(
    evidence: dict[str, Evidence], unseen: list[int], note: list[str]
) -> None:
    per_class = [None if label in unseen else 50.0 for label in range(len(CLASSES))]
    own = replace(evidence["method"], raw=evidence["method"].raw | {"test_acc_per_class": per_class})
    three = replace(MANIFEST, forget_classes=[1, 2, 3])
    beside = yardstick({"original": evidence["original"]}, three, SETTINGS, FULL, RELATIVE, [], {})
    notes = compare_model(own, beside).details["notes"]
    assert [one for one in notes if one.startswith("TFA")] == note


@pytest.mark.parametrize(("estimator", "least"), [("full", 2), ("minibatch", 2), ("debiased", 4)])
def test_cka_of_too_few_images_is_blank_with_its_reason_and_all_else_is_there(
    evidence: dict[str, Evidence], estimator: str, least: int
) -> None:
    def compared(count: int) -> Result:
        few = {name: replace(one, shared=with_forget_images(one.shared, count)) for name, one in evidence.items()}
        cka = CKA(estimator=estimator)
        beside = yardstick(few, MANIFEST, SETTINGS, cka, RELATIVE, [], {})
        return compare_model(few["method"], beside)

    enough, short = compared(least), compared(least - 1)
    assert "cka" in enough.metrics
    assert set(enough.metrics) - set(short.metrics) == {"cka"}
    assert "cka" not in short.details["h_mean_scores"]
    assert short.details["cka_layers"] == short.details["cka_retrained"] == dict.fromkeys(LAYERS)
    expected = f"cka needs {least} test images to forget ({estimator}); {least - 1} found"
    assert short.details["notes"][0] == expected
    assert not [note for note in enough.details["notes"] if note.startswith("cka")]


def with_forget_images(shared: Shared, count: int) -> Shared:
    return replace(
        shared,
        layers={layer: values[:count] for layer, values in shared.layers.items()},
        forget_logits=shared.forget_logits[:count],
        forget_labels=shared.forget_labels[:count],
    )


def test_what_had_too_few_images_is_noted(evidence: dict[str, Evidence], compare: Callable[..., Result]) -> None:
    raw = evidence["method"].raw | {"mutual_information": {}, "too_few": ["idi needs more"]}
    evidence["method"] = replace(evidence["method"], raw=raw)
    result = compare("method")
    assert result.details["notes"] == ["idi needs more"]
    assert "idi" not in result.metrics
