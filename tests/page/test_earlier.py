"""Whether classes of an earlier request stay erased, on models of which it is known what comes back."""

from pathlib import Path

import pytest

from tests.conftest import DROPPED
from tests.figures.summaries import summary
from tests.page.build import content_of, manifest_of
from tests.page.models import DEEP, NEVER_SAW, SEES_ALL, Numbers, made_up, next_seeds
from unlearning.comparison.earlier import Earlier
from unlearning.figures.report import report
from unlearning.over_seeds import Summary
from unlearning.page.earlier import BACK, NEVER_GONE, STAY, again
from unlearning.page.render import render
from unlearning.page.verdict import LEAST_IMAGES, UNTOLD
from unlearning.params import ANOTHER

GIVEN: Numbers = NEVER_SAW | {  # the model the classes were erased from: it holds less of them than a retrained one
    "linear_probe__all__forget": [60.0, 61.0, 62.0],
    "relearn__forget": {"1": 40.0, "20": 70.0},
}


def earlier(seeds: int = 3, retrained: bool = True, images: int = LEAST_IMAGES, **methods: Numbers) -> Earlier:
    models: dict[str, Summary] = {"original": summary(seeds, **GIVEN)}
    if retrained:
        models["retrained"] = summary(seeds, **NEVER_SAW)
    if retrained and seeds > 1:
        models[ANOTHER] = summary(seeds, **next_seeds(NEVER_SAW))
    models |= {name: summary(seeds, **numbers) for name, numbers in methods.items()}
    return Earlier(["ant"], images, models)


def word(numbers: Numbers, **how: object) -> str:
    return again(earlier(cu=numbers, **how)).answers["cu"].word  # type: ignore[arg-type]


def test_what_a_model_that_never_saw_the_classes_gives_back_too_has_not_come_back() -> None:
    found = again(earlier(cu=NEVER_SAW)).answers
    assert {name: one.word for name, one in found.items()} == dict.fromkeys(
        ["original", "retrained", ANOTHER, "cu"], STAY
    )


def test_classes_that_were_trained_back_have_come_back() -> None:
    assert word(SEES_ALL) == BACK


@pytest.mark.parametrize(
    "numbers",
    [
        {"relearn__forget": [{"1": 70.0, "20": 90.0}, {"1": 71.0, "20": 91.0}, {"1": 72.0, "20": 92.0}]},
        {"linear_probe__all__forget": [80.0, 81.0, 82.0]},
        {"retain_only__forget": 30.0},
    ],
)
def test_what_only_an_attack_gives_back_has_come_back(numbers: Numbers) -> None:
    assert word(NEVER_SAW | numbers) == BACK


def test_more_than_in_the_given_model_alone_is_no_return() -> None:
    assert word(GIVEN | {"linear_probe__all__forget": [69.0, 70.0, 71.0]}) == STAY


def test_what_the_repetitions_do_not_agree_on_is_not_told() -> None:
    assert word(NEVER_SAW | {"linear_probe__all__forget": [69.0, 70.0, 95.0]}) == UNTOLD


def test_without_a_retrained_model_only_the_answers_tell() -> None:
    assert word(NEVER_SAW, retrained=False) == UNTOLD  # more than in the given model
    assert word(GIVEN, retrained=False) == STAY
    assert word(GIVEN | {"forget_acc": 20.0}, retrained=False) == BACK


def test_few_images_tell_of_the_answers_alone() -> None:
    assert word(NEVER_SAW, images=LEAST_IMAGES - 1) == UNTOLD
    assert word(SEES_ALL, images=LEAST_IMAGES - 1) == BACK


def test_a_given_model_that_still_knows_them_is_called_so() -> None:
    known = Earlier(["ant"], LEAST_IMAGES, {"original": summary(3, **SEES_ALL), "retrained": summary(3, **NEVER_SAW)})
    assert again(known).answers["original"].word == NEVER_GONE


def test_what_the_given_model_had_not_lost_has_not_come_back_unless_there_is_more_of_it() -> None:
    beside = {"retrained": summary(3, **NEVER_SAW), "original": summary(3, **GIVEN | {"test_forget_acc": 4.0})}

    def of(accuracy: float) -> str:
        models = beside | {"cu": summary(3, **GIVEN | {"test_forget_acc": accuracy})}
        return again(Earlier(["ant"], LEAST_IMAGES, models)).answers["cu"].word

    assert [of(accuracy) for accuracy in (0.0, 3.0, 5.0, 6.0)] == [STAY, NEVER_GONE, NEVER_GONE, BACK]


def test_nothing_is_said_to_stay_erased_where_no_attack_could_begin() -> None:
    none = {"prototype__forget": {}, "relearn__forget": {}, "head_recovery__forget": None}
    none["linear_probe__all__forget"] = None
    models = {name: summary(3, **GIVEN | none) for name in ("original", "cu")}
    assert again(Earlier(["ant"], LEAST_IMAGES, models)).answers["cu"].word == UNTOLD


def test_accuracies_that_nobody_measured_are_said_to_be() -> None:
    blind = summary(3, **GIVEN | {"forget_acc": DROPPED, "test_forget_acc": DROPPED})
    found = again(Earlier(["ant"], LEAST_IMAGES, {"original": blind, "retrained": summary(3, **NEVER_SAW)}))
    assert "not measured" in found.answers["original"].reason


def test_report_and_page_have_both_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = made_up(cu=DEEP)
    before = earlier(cu=SEES_ALL, head_distill=NEVER_SAW)
    text = report(models, before)
    assert "## Classes erased before" in text
    assert "Erased by earlier requests: ant." in text
    assert "Classes erased before" not in report(models)
    page = render(content_of(models, manifest_of(["ant", "bee", "cat"], [1]), earlier=before))
    assert '<tr data-again="cu">' in page
    assert BACK in page
    gone = Earlier(["ant"], 0, {})
    assert "No image of ant is left" in report(models, gone)
    assert "No image of them is left" in render(
        content_of(models, manifest_of(["ant", "bee", "cat"], [1]), earlier=gone)
    )
