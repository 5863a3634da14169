"""Verdicts on models of which it is known what is left."""

from typing import Any

import pytest

from tests.conftest import DROPPED
from tests.page.models import DEEP, HEAD_ONLY, NEVER_SAW, NOISE, SEES_ALL, made_up, next_seeds
from unlearning.over_seeds import Summary
from unlearning.page.content import controls
from unlearning.page.verdict import LEAST_IMAGES, UNTOLD, Verdict, verdicts
from unlearning.params import ANOTHER

ENOUGH = LEAST_IMAGES
PARTLY = "forgotten in the outputs, partly in depth"
UNSURE = "forgotten in the outputs; how deep cannot be told"


def words(verdict: Verdict) -> dict[str, str]:
    return {question: answer.word for question, answer in verdict.answers.items()}


def verdict(models: dict[str, Summary], name: str, images: int = ENOUGH) -> Verdict:
    return verdicts(models, images)[name]


def of(**numbers: Any) -> Verdict:
    """Return the verdict on a method that is as deep as DEEP but for these numbers."""
    return verdict(made_up(cu=DEEP | numbers), "cu")


def test_the_retrained_model_has_forgotten_in_everything() -> None:
    for name in ("retrained", ANOTHER):
        found = verdict(made_up(), name)
        assert found.word == "forgotten as by retraining"
        assert words(found) == {
            "outputs": "forgotten", "features": "gone", "attack": "stays away", "floor": "within", "utility": "kept",
        }  # fmt: skip


def test_the_original_has_not_forgotten_at_all() -> None:
    found = verdict(made_up(), "original")
    assert found.word == "not forgotten"
    assert words(found) == {
        "outputs": "not forgotten", "features": "as in the original", "attack": "comes back", "floor": "beyond",
        "utility": "kept",
    }  # fmt: skip


def test_another_head_on_the_originals_features_has_forgotten_in_the_outputs_only() -> None:
    models = made_up()
    found = verdict(models, "head_distill")
    assert found.word == "forgotten in the outputs only"
    assert found.level == "bad"
    assert words(found)["features"] == "as in the original"
    assert words(found)["attack"] == "comes back"
    assert controls(verdicts(models, ENOUGH)).level == "good"


def test_what_keeps_no_more_than_retrained_but_is_not_like_it_has_forgotten_in_depth() -> None:
    found = of()
    assert found.word == "forgotten in depth"
    assert words(found)["floor"] == "beyond"
    assert words(found)["utility"] == "small loss"
    assert "3.0 points lost" in found.answers["utility"].reason


@pytest.mark.parametrize(
    ("numbers", "question", "word", "whole"),
    [
        ({"test_forget_acc": [0.0, 3.0, 0.0]}, "outputs", "partly forgotten", "only partly forgotten"),
        ({"test_forget_acc": 79.0}, "outputs", "not forgotten", "not forgotten"),
        ({"prototype__forget": {"1": 70.0, "20": 71.0}}, "features", "partly left", PARTLY),
        ({"relearn__forget": {"1": 99.0, "20": 80.0}}, "attack", "comes back", "forgotten in the outputs only"),
        ({"batchnorm__forget": [20.0, 25.0, 22.0]}, "attack", "partly comes back", PARTLY),
        ({"idi": [0.0, 0.0, 2.0]}, "features", UNTOLD, UNSURE),
        ({"idi": -3.0}, "features", "gone", "forgotten in depth"),
        ({"collapsed": True, "cka_layers__penultimate": 99.0}, "features", "gone", "forgotten in depth"),
        ({"test_retain_acc": [96.5, 80.0, 96.0]}, "utility", UNTOLD, "forgotten in depth"),
        ({"test_retain_acc": 80.0}, "utility", "large loss", "forgotten in depth"),
    ],
)  # fmt: skip
def test_each_word_follows_its_numbers(numbers: dict[str, Any], question: str, word: str, whole: str) -> None:
    found = of(**numbers)
    assert words(found)[question] == word
    assert found.word == whole


def test_a_reason_names_the_numbers_that_decide() -> None:
    reason = of(prototype__forget={"1": 90.0, "20": 72.0}).answers["features"].reason
    assert reason == "As much as in the original, by prototype, 1 image 90.0 (original 99.0, untaught 52.0)."


def test_without_unseen_images_the_outputs_are_judged_by_training_images_and_say_so() -> None:
    models = made_up(cu=DEEP | {"test_forget_acc": DROPPED})
    found = verdict(models, "cu").answers["outputs"]
    assert found.word == "forgotten"
    assert "no unseen image" in found.reason
    models = made_up(cu=DEEP | {"test_forget_acc": DROPPED, "forget_acc": DROPPED})
    assert verdict(models, "cu").word == UNTOLD


def test_too_few_test_images_say_nothing_of_features_and_attacks() -> None:
    found = verdict(made_up(), "retrained", images=ENOUGH - 1)
    assert [words(found)[question] for question in ("features", "attack")] == [UNTOLD, UNTOLD]
    assert "29 test images" in found.answers["features"].reason


def test_without_a_retrained_model_only_untouched_features_can_be_told() -> None:
    models = made_up(retrained=False, cu=DEEP | {"cka_layers__penultimate": 40.0})
    assert verdict(models, "head_distill").word == "forgotten in the outputs only"
    found = verdict(models, "cu")
    assert words(found) == {
        "outputs": "forgotten", "features": UNTOLD, "attack": UNTOLD, "floor": UNTOLD, "utility": "small loss",
    }  # fmt: skip
    assert "needs a retrained model" in found.answers["attack"].reason


def test_a_short_run_clears_a_model_and_convicts_none() -> None:
    methods = {"short_run": NEVER_SAW, "deep": DEEP, "more": DEEP | {"relearn__forget": {"1": 99.0, "20": 99.0}}}
    models = made_up(retrained=False, **methods)
    assert words(verdict(models, "deep"))["attack"] == "stays away"
    assert words(verdict(models, "more"))["attack"] == UNTOLD


def test_one_seed_has_words_but_no_noise_floor() -> None:
    found = verdict(made_up(seeds=1, cu=DEEP), "cu")
    assert found.word == "forgotten in depth"
    assert words(found)["floor"] == UNTOLD
    assert "One seed" in found.answers["floor"].reason


def test_a_measure_that_does_not_expose_a_control_clears_nobody() -> None:
    """The control keeps all features; relearning and prototype that fail to see it are taken from the list."""
    blind = {"relearn__forget": {"1": 51.0, "20": 81.0}}
    models = made_up(cu=DEEP)
    models["head_distill"] = made_up(fooled=HEAD_ONLY | blind)["fooled"]
    assert words(verdict(models, "cu"))["attack"] == UNTOLD
    assert words(verdict(models, "cu"))["features"] == "gone"


def test_rules_that_call_a_controls_features_gone_are_reported() -> None:
    found = verdicts(made_up(), ENOUGH)
    assert controls(found | {"head_distill": found["retrained"]}).level == "bad"


def test_a_distance_that_one_seed_alone_exceeds_is_not_told() -> None:
    near = next_seeds(NEVER_SAW) | NOISE | {"js_divergence": [0.04, 0.04, 0.09]}
    assert words(verdict(made_up(cu=near), "cu"))["floor"] == UNTOLD


def test_original_with_blank_numbers_is_judged_by_what_there_is() -> None:
    blank = {"linear_probe__all__forget": None, "head_recovery__forget": None, "membership": None}
    blank |= {"cka_layers__penultimate": None}
    models = made_up(retrained=False)
    one = made_up(retrained=False, bare=SEES_ALL | blank)["bare"]
    assert words(verdict(models | {"original": one, "cu": one}, "cu", images=0))["features"] == UNTOLD
