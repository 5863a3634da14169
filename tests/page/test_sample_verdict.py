"""Verdicts where samples were to be forgotten, on models of which it is known what they remember."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.figures.summaries import summary
from tests.page.build import content_of, manifest_of
from tests.page.models import Numbers, next_seeds
from unlearning.figures.table import best_rows, main_columns, main_table
from unlearning.over_seeds import Summary
from unlearning.page.render import render
from unlearning.page.sample_verdict import MADE_TO_ERR, sample_verdicts
from unlearning.page.verdict import LEAST_IMAGES, UNTOLD, Verdict
from unlearning.params import ANOTHER

REMEMBERS: Numbers = {
    "by_samples": True,
    "forget_acc": [99.0, 99.5, 100.0],
    "retain_acc": 99.9,
    "test_retain_acc": 90.0,
    "membership__all__auc": [70.0, 71.0, 72.0],
    "retrain_gap": 12.0,
    "js_divergence": 0.3,
}
NEVER_SAW: Numbers = REMEMBERS | {
    "forget_acc": [89.0, 90.0, 91.0],
    "membership__all__auc": [50.0, 49.0, 51.0],
    "retrain_gap": 0.0,
    "js_divergence": 0.0,
}
FORGOT: Numbers = NEVER_SAW | {"retrain_gap": 2.5, "js_divergence": 0.2, "test_retain_acc": 88.0}


def made_up(seeds: int = 3, retrained: bool = True, **methods: Numbers) -> dict[str, Summary]:
    models = {"original": summary(seeds, **REMEMBERS)}
    if retrained:
        models["retrained"] = summary(seeds, **NEVER_SAW)
    if retrained and seeds > 1:
        apart = {"retrain_gap": 1.0, "js_divergence": 0.05}
        models[ANOTHER] = summary(seeds, **next_seeds(NEVER_SAW) | apart)
    return models | {name: summary(seeds, **numbers) for name, numbers in methods.items()}


def of(**numbers: Any) -> Verdict:
    """Return the verdict on a method that has forgotten like FORGOT but for these numbers."""
    return sample_verdicts(made_up(scrub=FORGOT | numbers), LEAST_IMAGES)["scrub"]


def words(verdict: Verdict) -> dict[str, str]:
    return {question: answer.word for question, answer in verdict.answers.items()}


def test_the_references_are_what_they_are() -> None:
    found = sample_verdicts(made_up(), LEAST_IMAGES)
    assert found["original"].word == "not forgotten"
    assert words(found["original"]) == {
        "outputs": "remembered", "attack": "found", "floor": "beyond", "utility": "kept",
    }  # fmt: skip
    assert found["retrained"].word == "forgotten as by retraining"


def test_a_model_that_answers_like_one_that_never_saw_them_has_forgotten() -> None:
    assert of().word == "forgotten"
    assert words(of()) == {
        "outputs": "as if never seen", "attack": "not found", "floor": "beyond", "utility": "small loss",
    }  # fmt: skip


def test_errors_on_the_erased_images_beyond_retraining_are_no_forgetting() -> None:
    found = of(forget_acc=[2.0, 3.0, 4.0])
    assert found.answers["outputs"].word == MADE_TO_ERR
    assert found.level == "part"


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ({"forget_acc": [98.0, 99.0, 99.5]}, "not forgotten"),
        ({"forget_acc": [94.0, 95.0, 96.0]}, "only partly forgotten"),
        ({"membership__all__auc": [69.0, 70.0, 71.0]}, "forgotten, but found by membership inference"),
        ({"membership__all__auc": [59.0, 60.0, 61.0]}, "forgotten, partly found by membership inference"),
        ({"retrain_gap": 0.9, "js_divergence": 0.04}, "forgotten as by retraining"),
    ],
)
def test_what_is_left_is_said(numbers: Numbers, word: str) -> None:
    assert of(**numbers).word == word


def test_an_attack_that_finds_nothing_in_the_original_clears_nobody() -> None:
    blind = {"membership__all__auc": [50.0, 51.0, 49.0]}
    models = made_up(scrub=FORGOT) | {"original": summary(3, **REMEMBERS | blind)}
    assert sample_verdicts(models, LEAST_IMAGES)["scrub"].answers["attack"].word == UNTOLD


def test_without_retraining_or_with_a_few_images_nothing_is_told() -> None:
    alone = sample_verdicts(made_up(retrained=False, scrub=FORGOT), LEAST_IMAGES)["scrub"]
    assert alone.word == UNTOLD
    assert sample_verdicts(made_up(scrub=FORGOT), LEAST_IMAGES - 1)["scrub"].word == UNTOLD


def test_the_table_has_the_columns_of_samples_and_nearest_to_retrained_is_best() -> None:
    err = FORGOT | {
        "forget_acc": [0.0, 1.0, 2.0],
        "membership__all__auc": [80.0, 81.0, 82.0],
        "mia_auc": [80.0, 81.0, 82.0],
    }
    models = made_up(scrub=FORGOT | {"mia_auc": [50.0, 49.0, 51.0]}, ga=err)
    for name in ("original", "retrained", ANOTHER):
        models[name].metrics.setdefault("mia_auc", 50.0)
    columns = main_columns(models)
    assert "cka" not in columns
    assert "FA → retrained's" in main_table(models)
    assert best_rows(models, columns)["forget_acc"] == ["scrub"]


def test_the_page_speaks_of_images_and_asks_no_question_about_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = replace(manifest_of(["ant", "bee"], []), forget_samples=tuple(range(0, 80, 2)) + (1, 3))
    models = made_up(scrub=FORGOT)
    page = render(content_of(models, manifest))
    assert "ant: 40" in page
    assert "42 training images" in page
    assert "In the features" not in page
    assert "as if never seen" in page
