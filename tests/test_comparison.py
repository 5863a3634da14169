import math
from typing import Any

import pytest
import torch

from unlearning.comparison import Evidence, compare_model
from unlearning.errors import InputError
from unlearning.metrics.cka import linear_cka
from unlearning.params import IDI

SETTINGS = IDI(estimate="held_out", floor=0.05)
LAYERS = ["layer3", "layer4", "penultimate"]
ACCURACIES = {"forget_acc": 10.0, "retain_acc": 90.0, "test_forget_acc": 20.0, "test_retain_acc": 80.0}
# Nats in two layers. The method knows more than the retrained model in one and less in the other: 0.1 and -0.1.
INFORMATION = {"original": (0.5, 0.6), "retrained": (0.3, 0.3), "method": (0.4, 0.2)}


def trials(*values: float) -> list[dict[str, float]]:
    return [{"held_out": value, "train": value} for value in values]


def evidence_of(seed: int, information: tuple[float, float], **changes: Any) -> Evidence:
    generator = torch.Generator().manual_seed(seed)
    features = {layer: torch.randn(12, 4, generator=generator) for layer in LAYERS}
    raw = ACCURACIES | {
        "layers": LAYERS,
        "mutual_information": {layer: trials(nats) for layer, nats in zip(LAYERS, information, strict=False)},
        "label_entropy": math.log(2),
        "test_acc_per_class": [20.0, 80.0],
    }
    return Evidence(raw | changes, features, {"seconds": 12.5, "steps": 10, "samples": 80})


@pytest.fixture
def evidence() -> dict[str, Evidence]:
    """Return what was measured of three models; different features, equal accuracies."""
    return {name: evidence_of(seed, nats) for seed, (name, nats) in enumerate(INFORMATION.items())}


def test_the_original_has_cka_100_and_idi_1(evidence: dict[str, Evidence]) -> None:
    result = compare_model("original", evidence, SETTINGS)
    assert result.metrics["cka"] == pytest.approx(100)
    assert result.details["cka_layers"] == pytest.approx(dict.fromkeys(LAYERS, 100))
    assert result.metrics["idi"] == pytest.approx(1)
    assert result.metrics["idi_abs"] == pytest.approx(1)


def test_the_retrained_model_has_idi_0(evidence: dict[str, Evidence]) -> None:
    metrics = compare_model("retrained", evidence, SETTINGS).metrics
    assert metrics["idi"] == metrics["idi_abs"] == 0


def test_idi_abs_does_not_cancel_opposite_signs(evidence: dict[str, Evidence]) -> None:
    result = compare_model("method", evidence, SETTINGS)
    assert result.metrics["idi"] == pytest.approx(0, abs=1e-12)
    assert result.metrics["idi_abs"] == pytest.approx(0.2 / 0.5)
    assert result.details["idi"]["differences"] == pytest.approx({"layer3": 0.1, "layer4": -0.1})
    assert result.details["idi"]["idi_denominator"] == pytest.approx(0.5)


def test_cka_is_to_the_original_layer_by_layer_and_the_metric_is_that_of_the_penultimate(
    evidence: dict[str, Evidence],
) -> None:
    result = compare_model("method", evidence, SETTINGS)
    original, own = evidence["original"].features, evidence["method"].features
    assert result.details["cka_layers"] == {layer: linear_cka(original[layer], own[layer]) for layer in LAYERS}
    assert list(result.details["cka_layers"]) == LAYERS  # in depth order, as they are drawn
    assert result.metrics["cka"] == result.details["cka_layers"]["penultimate"] < 99


def test_h_mean_is_over_the_scores_that_exist(evidence: dict[str, Evidence]) -> None:
    metrics = compare_model("method", evidence, SETTINGS).metrics
    scores = [90, 90, 80, 80, 100 - metrics["cka"], 100]  # the last: IDI is 0
    assert metrics["h_mean"] == pytest.approx(6 / sum(1 / score for score in scores))
    evidence["method"].raw["mutual_information"] = {}
    without = compare_model("method", evidence, SETTINGS).metrics
    assert without["h_mean"] == pytest.approx(5 / sum(1 / score for score in scores[:5]))


def test_a_score_of_zero_is_named(evidence: dict[str, Evidence]) -> None:
    result = compare_model("method", evidence | {"method": evidence_of(2, (0.4, 0.2), forget_acc=100.0)}, SETTINGS)
    assert result.metrics["h_mean"] == 0
    assert result.details["h_mean_vanishing"] == ["forget_acc"]
    assert result.details["h_mean_scores"]["forget_acc"] == 0


def test_metrics_are_the_fixed_contract(evidence: dict[str, Evidence]) -> None:
    metrics = compare_model("method", evidence, SETTINGS).metrics
    assert set(metrics) == {*ACCURACIES, "cka", "idi", "idi_abs", "h_mean", "seconds"}
    assert {key: metrics[key] for key in ACCURACIES} == ACCURACIES
    assert metrics["seconds"] == 12.5


def test_without_mutual_information_there_is_no_idi(evidence: dict[str, Evidence]) -> None:
    for one in evidence.values():
        one.raw["mutual_information"] = {}
    result = compare_model("method", evidence, SETTINGS)
    assert not [key for key in (*result.metrics, *result.details) if key.startswith("idi")]


def test_a_model_that_was_given_has_no_seconds(evidence: dict[str, Evidence]) -> None:
    given = Evidence(evidence["original"].raw, evidence["original"].features, cost={})
    result = compare_model("original", evidence | {"original": given}, SETTINGS)
    assert "seconds" not in result.metrics
    assert result.details["cost"] == {}


@pytest.mark.parametrize(("gap", "unsure"), [(-0.11, True), (-0.09, False), (0.0, False), (0.09, False), (0.11, True)])
def test_estimates_that_differ_by_more_than_a_tenth_of_the_label_entropy_are_unsure(
    evidence: dict[str, Evidence], gap: float, unsure: bool
) -> None:
    measured = evidence["method"].raw["mutual_information"]
    measured["layer4"][0]["train"] += gap * math.log(2)
    details = compare_model("method", evidence, SETTINGS).details["idi"]
    assert details["unsure"] is unsure
    assert details["held_out"] == pytest.approx({"layer3": 0.4, "layer4": 0.2})
    assert details["train"]["layer4"] == pytest.approx(0.2 + gap * math.log(2))


def test_information_is_the_mean_of_the_trials_by_the_chosen_estimate(evidence: dict[str, Evidence]) -> None:
    measured = evidence["method"].raw["mutual_information"]
    measured["layer3"] = [{"held_out": 0.3, "train": 0.5}, {"held_out": 0.4, "train": 0.7}]  # means 0.35 and 0.6
    held_out = compare_model("method", evidence, SETTINGS).details["idi"]["differences"]
    train = compare_model("method", evidence, IDI(estimate="train", floor=0.05)).details["idi"]["differences"]
    assert held_out["layer3"] == pytest.approx(0.05)
    assert train["layer3"] == pytest.approx(0.3)


def test_an_original_that_knows_no_more_is_an_error_that_names_what_to_change(evidence: dict[str, Evidence]) -> None:
    evidence["original"] = evidence_of(0, (0.31, 0.32))
    message = r"0\.0300 nats.*layer3, layer4; below idi\.floor = 0\.05.*\(.*layers\).*\(.*epochs,.*max_samples"
    with pytest.raises(InputError, match=message):
        compare_model("method", evidence, SETTINGS)
