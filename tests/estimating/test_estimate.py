from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import SHAPE, config_of, weights_of
from tests.estimating.conftest import COUNTS
from unlearning.counts import Counts
from unlearning.data.batches import load_pixels
from unlearning.engine.run import Run
from unlearning.estimating import trainings
from unlearning.estimating.ahead import Stage, subject_of, told
from unlearning.estimating.ahead import ahead as stages_ahead
from unlearning.estimating.measuring import trained_more, try_measuring
from unlearning.estimating.noise import noise
from unlearning.estimating.trainings import Subject, Training, Work, cut, forward_flops, try_training
from unlearning.methods import method_program
from unlearning.params import Params, Train, UnlearnRecipe
from unlearning.params_file import load_params
from unlearning.training.classifier import train_classifier

REPOSITORY = Path(__file__).parents[2]


def test_noise_has_the_images_that_were_asked_for_and_is_gone_afterwards() -> None:
    here = Path.cwd()
    with noise(COUNTS, 6, 1, 8, 2) as manifest:
        there = Path.cwd()
        assert [len(manifest.select("train", part)) for part in ("forget", "retain")] == [40, 200]
        assert load_pixels("test").shape == (60, 1, 8, 8)
        assert set(np.unique(manifest.splits["train"].labels)) == set(range(6))
    assert Path.cwd() == here
    assert not there.exists()


@pytest.mark.parametrize(("name", "with_modules"), [("rl", False), ("ec", True), ("duck", False)])
def test_a_training_has_the_steps_of_its_recipe_and_counts_alike_from_fewer_images(
    subject: Subject, name: str, with_modules: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = config_of(name, batch_size=32)
    whole = try_training(name, subject, recipe, method_program(name), with_modules)
    assert whole.steps == recipe.steps(COUNTS)
    assert min(whole.step.seconds, whole.step.flops) > 0
    monkeypatch.setattr(trainings, "OPERATIONS", 3 * 8 * forward_flops(SHAPE))
    fewer = try_training(name, subject, recipe, method_program(name), with_modules)
    assert fewer.work.flops == pytest.approx(whole.work.flops, rel=0.15)
    assert fewer.work.images == pytest.approx(whole.work.images, rel=0.1)


def test_a_step_of_cross_entropy_is_three_forward_passes_but_for_the_first_layer(subject: Subject) -> None:
    recipe = load_params(REPOSITORY / "params.yaml").train.model_copy(update={"batch_size": 16})
    one = try_training("bench", subject, recipe, lambda run, cfg: train_classifier(run, cfg, "all"), False)
    passes = one.step.flops / (16 * forward_flops(SHAPE))
    assert 2.7 < passes < 3  # images ask for no gradient


def test_phases_whose_steps_are_not_alike_are_tried_to_their_end(subject: Subject) -> None:
    def tried(epochs: int) -> Training:
        recipe = config_of("cola", batch_size=8, views=2, epochs=epochs)
        return try_training("cola", subject, recipe, method_program("cola"), False)

    short, long = tried(1), tried(9)
    once, often = short.work.flops, long.work.flops
    a_pass = once - (often - once) / 8  # that of the collapse, of two views an image
    assert a_pass == pytest.approx(2 * (often - once) / 8, rel=0.15)


def test_batches_are_cut_by_one_share() -> None:
    fewer = cut(config_of("duck", batch_size=64, second_batch_size=256), 1 / 8)
    assert (fewer.batch_size, fewer.second_batch_size) == (8, 32)


def test_what_is_tried_on_noise_learns_nothing_and_so_cannot_diverge(subject: Subject) -> None:
    seen = []

    def program(run: Run, cfg: Train) -> Iterator[Tensor]:
        before = weights_of(run.model)
        for loss in train_classifier(run, cfg, "all"):
            yield loss
            after = dict(run.model.named_parameters())
            seen.append(all(torch.equal(before[name], weight) for name, weight in after.items()))

    recipe = load_params(REPOSITORY / "params.yaml").train.model_copy(update={"batch_size": 16, "lr": 100.0})
    try_training("test", subject, recipe, program, False)
    assert seen
    assert all(seen)


def test_a_training_of_a_single_step_is_counted(subject: Subject) -> None:
    few = replace(subject, counts=Counts(forget=5, retain=20, judging=4))
    one = try_training("pl", few, config_of("pl", epochs=1, batch_size=64), method_program("pl"), False)
    assert one.steps == 1
    assert one.work.flops == pytest.approx(5 * 4 * forward_flops(SHAPE), rel=0.2)  # the teacher's pass too


def test_without_the_clock_the_same_is_counted(subject: Subject) -> None:
    for name in ("cola", "duck"):
        recipe = config_of(name, batch_size=8)
        timed, counted = (
            try_training(name, subject, recipe, method_program(name), False, timed) for timed in (True, False)
        )
        assert counted.work.seconds == 0
        assert counted.work.flops == timed.work.flops
        assert (counted.work.images, counted.steps) == (timed.work.images, timed.steps)


def test_steps_on_both_kinds_of_images_are_tried_where_a_pass_has_both(subject: Subject) -> None:
    seen: set[str] = set()

    def program(run: Run, cfg: UnlearnRecipe) -> Iterator[Tensor]:
        count = run.count
        run.count = lambda batch, part: (seen.add(part), count(batch, part))[1]
        return method_program("scrub")(run, cfg)

    one = try_training("scrub", subject, config_of("scrub", batch_size=8, forget_batch_size=8), program, False)
    assert seen == {"forget", "retain"}
    assert one.step.flops > 0


def test_accuracies_between_epochs_are_reckoned_where_they_are_asked_for(subject: Subject) -> None:
    def tried(validation: int, **changes: object) -> Training:
        own = replace(subject, validation=validation)
        return try_training("pl", own, config_of("pl", epochs=3, **changes), method_program("pl"), False)

    assert tried(0, stop_at_forget_acc=None).checks == Work()
    assert tried(50, stop_at_forget_acc=None).checks.images == 3 * 50
    assert tried(50, stop_at_forget_acc=0.0).checks.images == 3 * (50 + COUNTS.forget)
    assert tried(50, stop_at_forget_acc=0.0).checks.flops == 3 * (50 + COUNTS.forget) * forward_flops(SHAPE)


def test_seconds_are_those_before_the_first_step_and_of_all_steps() -> None:
    assert Training(steps=10, step=Work(0.5), before=Work(2.0)).work.seconds == 7


def test_measuring_counts_the_forward_pass_of_every_image(subject: Subject, params: Params) -> None:
    found = try_measuring(subject, params)
    assert found.work.flops > 300 * forward_flops(SHAPE)
    assert 0 < 300 * found.image < found.work.seconds


def test_relearning_is_reckoned_as_if_training_were_always_chosen(params: Params) -> None:
    cfg = params.relearn.model_copy(update={"draws": 5, "lrs": [0.1, 0.2]})
    tried, trained = {"start": "as is", "lr": None}, {"start": "as is", "lr": 0.1}
    assert trained_more([trained, trained], cfg) == 1
    assert trained_more([tried, trained], cfg) == 12 / 8
    assert trained_more([], cfg) == 1


def test_the_digits_are_cut_as_the_split_cuts_them(params: Params) -> None:
    counts, shape = subject_of(params).counts, subject_of(params).shape
    assert counts.training == pytest.approx(0.9 * 0.8 * 1797, rel=0.01)
    assert counts.judging == pytest.approx(0.2 * 1797, rel=0.01)
    assert (shape.classes, shape.channels, shape.image_size) == (10, 1, 8)


def test_of_a_given_original_no_image_is_cut_off(params: Params) -> None:
    given = params.original.model_copy(update={"checkpoint": Path("theirs.pth")})
    whole, cut_off = (subject_of(one).counts for one in (params.model_copy(update={"original": given}), params))
    assert whole.training == 1797
    assert cut_off.training + cut_off.judging < 1797


def test_every_stage_is_told_before_anything_has_run_and_nothing_is_left(params: Params) -> None:
    before = sorted(Path().rglob("*"))
    names = [stage.name for stage in stages_ahead(params)]
    assert names[:3] == ["train@original", "train@retrained", "unlearn@finetune"]
    assert {"evaluate@original", "evaluate@finetune", "compare and report"} <= set(names)
    assert sorted(Path().rglob("*")) == before


def test_a_given_original_is_not_trained(params: Params) -> None:
    given = params.original.model_copy(update={"checkpoint": Path("theirs.pth")})
    names = [stage.name for stage in stages_ahead(params.model_copy(update={"original": given}))]
    assert "train@original" not in names
    assert "train@retrained" in names


def test_a_stage_is_told_in_one_line() -> None:
    stage = Stage("unlearn@ec", Work(90.0, 2.5e12), 3e9, "2 x 10 steps of 1 s")
    assert told(stage) == "unlearn@ec: about 2 min, 2 x 10 steps of 1 s, 2.5 TFLOP, 3 GB"
