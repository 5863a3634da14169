import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tests.conftest import RECIPE, SIZE, weights_of
from unlearning.data.batches import Batch, ImageSplit
from unlearning.data.manifest import Manifest
from unlearning.data.surrogate import SURROGATE, surrogate_manifest
from unlearning.engine.run import Run
from unlearning.engine.schedule import BatchSchedule
from unlearning.engine.validation import validate
from unlearning.errors import InputError
from unlearning.params import Recipe, UnlearnRecipe

MakeRun = Callable[..., Run]
FOUR = Recipe(**{**RECIPE, "epochs": 4})


def plain(run: Run, recipe: Recipe = FOUR) -> Iterator[Tensor]:
    network = run.optimise(run.model, recipe)
    for batch in run.batches("all", recipe):
        yield F.cross_entropy(network(batch.images), batch.labels)


def two_phases(run: Run) -> Iterator[Tensor]:
    network = run.optimise(run.model, Recipe(**RECIPE), run.model.get_classifier().parameters())
    for batch in run.batches("retain", Recipe(**RECIPE)):
        yield F.cross_entropy(network(batch.images), batch.labels)
    network = run.optimise(run.model, Recipe(**{**RECIPE, "optimizer": "adam", "lr": 0.001}))
    for forget, retain in run.pairs(Recipe(**RECIPE), 2):
        noise = torch.rand((), generator=run.generator("noise"))
        yield F.cross_entropy(network(retain.images), retain.labels) - 0.01 * noise * network(forget.images).mean()


def stopping_early(run: Run) -> Iterator[Tensor]:
    """The first phase ends after its first epoch by the stopping rule, the second by its own end."""
    sooner = UnlearnRecipe(**RECIPE, stop_at_forget_acc=100)
    network = run.optimise(run.model, sooner)
    for batch in run.batches("all", sooner):
        yield F.cross_entropy(network(batch.images), batch.labels)
    yield from plain(run, Recipe(**RECIPE))


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def test_training_learns(make_run: MakeRun) -> None:
    run = make_run()
    rows = run.drive(plain(run, Recipe(**{**RECIPE, "epochs": 15}))).rows
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[-1]["validation_retain_acc"] > 60


def test_equal_runs_give_equal_bytes(make_run: MakeRun) -> None:
    runs = [make_run(folder="a"), make_run(folder="b")]
    for run in runs:
        run.drive(plain(run))
    assert equal(weights_of(runs[0].model), weights_of(runs[1].model))
    other = make_run(folder="c", seed=1)
    other.drive(plain(other))
    assert not equal(weights_of(runs[0].model), weights_of(other.model))


@pytest.fixture
def saving_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))


@pytest.fixture(scope="module")
def whole_runs() -> dict[Callable, Run]:
    """Hold each program's uninterrupted run for all tests: the small world is the same in each."""
    return {}


class Killed(Exception):
    pass


def killed_at(step: int, program: Iterator[Tensor]) -> Iterator[Tensor]:
    for number, loss in enumerate(program):
        if number == step:
            raise Killed
        yield loss


@pytest.mark.usefixtures("saving_every_epoch")
@pytest.mark.parametrize("program", [plain, two_phases, stopping_early])
@pytest.mark.parametrize("step", [0, 5, 12, 17, 23, 30])
def test_a_killed_run_ends_like_an_uninterrupted_one(
    make_run: MakeRun, whole_runs: dict[Callable, Run], program: Callable, step: int
) -> None:
    if program not in whole_runs:
        whole_runs[program] = make_run(folder="whole")
        whole_runs[program].drive(program(whole_runs[program]))
    whole = whole_runs[program]
    expected = whole.progress
    broken = make_run(folder="broken")
    with pytest.raises(Killed):
        broken.drive(killed_at(step, program(broken)))
    resumed = make_run(folder="broken")
    progress = resumed.drive(program(resumed))
    assert equal(weights_of(whole.model), weights_of(resumed.model))
    assert progress.rows == expected.rows
    assert (progress.step, progress.samples) == (expected.step, expected.samples)


STEPPED = Recipe(**{**RECIPE, "epochs": 4, "lr": 0.01, "schedule": "step", "milestones": [1, 3], "decay": 0.5})


def two_stepped_phases(run: Run) -> Iterator[Tensor]:
    """Train the classifier alone, on pixels: what matters is the rate."""
    for _ in range(2):
        network = run.optimise(run.model.get_classifier(), STEPPED)
        for batch in run.batches("all", STEPPED):
            yield F.cross_entropy(network(batch.images.flatten(1)[:, : network.network.in_features]), batch.labels)


@pytest.mark.usefixtures("saving_every_epoch")
@pytest.mark.parametrize(
    ("step", "saved"), [(1, "no epoch of it is saved yet"), (30, r"its epochs up to [12] are saved")]
)
def test_ctrl_c_says_what_is_saved_of_the_run(make_run: MakeRun, step: int, saved: str) -> None:
    def interrupted(run: Run) -> Iterator[Tensor]:
        yield from islice(plain(run), step)
        raise KeyboardInterrupt

    run = make_run("pl", seed=3)
    with pytest.raises(KeyboardInterrupt, match=f"^pl, seed 3: {saved}$"):
        run.drive(interrupted(run))


@pytest.mark.parametrize("killed", [None, 0, 12, 20, 47, 50, 60, 90])
def test_step_counts_the_whole_epochs_of_each_phase_resumed_or_not(make_run: MakeRun, killed: int | None) -> None:
    rates: dict[int, float] = {}

    def noted(run: Run) -> Iterator[Tensor]:
        for loss in two_stepped_phases(run):
            yield loss
            rates[run.progress.step] = run.optimizer.param_groups[0]["lr"]

    if killed is not None:
        broken = make_run()
        with pytest.raises(Killed):
            broken.drive(killed_at(killed, noted(broken)))
    run = make_run()
    rows = run.drive(noted(run)).rows
    one_phase = [0.01] * 12 + [0.005] * 24 + [0.0025] * 12  # 12 steps an epoch
    assert [rates[step] for step in sorted(rates)] == pytest.approx(one_phase * 2)
    assert [row["lr"] for row in rows] == pytest.approx([0.01, 0.005, 0.005, 0.0025] * 2)


@pytest.mark.usefixtures("saving_every_epoch")
def test_a_finished_run_that_was_not_saved_does_no_step_again(make_run: MakeRun) -> None:
    first = make_run()
    first.drive(plain(first))
    again = make_run()
    assert list(plain(again)) == []
    assert equal(weights_of(first.model), weights_of(again.model))


def test_a_broken_state_means_starting_again(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    whole = make_run(folder="whole")
    whole.drive(plain(whole))
    Path("broken").mkdir()
    Path("broken/state.pt").write_bytes(b"PK half a zip")
    run = make_run(folder="broken")
    run.drive(plain(run))
    assert "starting from the beginning" in capsys.readouterr().err
    assert equal(weights_of(whole.model), weights_of(run.model))


@pytest.mark.usefixtures("saving_every_epoch")
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(make_run: MakeRun) -> None:
    def explode(run: Run) -> Iterator[Tensor]:
        for number, loss in enumerate(plain(run)):
            yield loss * (float("nan") if number == 17 else 1)

    run = make_run(name="boom")
    with pytest.raises(InputError, match=r"boom: the loss became nan at epoch 2, step 18 \(last finite loss"):
        run.drive(explode(run))
    state = run.resume.load()
    assert (state["progress"]["epochs"], state["position"]["steps"]) == ([1], 0)


def test_a_program_is_closed_when_its_run_fails(make_run: MakeRun) -> None:
    closed = []

    def explode(run: Run) -> Iterator[Tensor]:
        try:
            for loss in plain(run):
                yield loss * float("nan")
        finally:
            closed.append(True)

    run = make_run()
    program = explode(run)
    with pytest.raises(InputError):
        run.drive(program)
    assert closed


def test_pairs_walk_through_the_forget_set_and_all_of_the_retain_set(make_run: MakeRun, world: Manifest) -> None:
    run = make_run()
    recipe = Recipe(**{**RECIPE, "epochs": 4})
    forget_seen: list[int] = []
    retain_seen: list[int] = []

    def program() -> Iterator[Tensor]:
        network = run.optimise(run.model, recipe)
        for forget, retain in run.pairs(recipe, 2):
            forget_seen.extend(forget.positions.tolist())
            retain_seen.extend(retain.positions.tolist())
            yield network(retain.images).sum() * 0

    progress = run.drive(program())
    assert sorted(set(forget_seen)) == world.select("train", "forget").tolist()
    assert np.bincount(forget_seen).max() == 4 * 2  # each image once an epoch, for two steps
    assert sorted(set(retain_seen)) == world.select("train", "retain").tolist()
    assert progress.step == 4 * (32 // 8) * 2
    assert progress.samples == progress.step * 16


def test_a_forget_image_among_the_retained_stops_the_run(make_run: MakeRun) -> None:
    run = make_run()
    run.schedule.positions["retain"] = run.schedule.positions["all"]
    with pytest.raises(AssertionError, match="retain batch holds a forget image"):
        run.drive(loss for loss in two_phases(run))


def test_validation_leaves_modes_and_statistics_alone(make_run: MakeRun) -> None:
    run = make_run()
    program = plain(run)
    next(program)
    run.model.layer1.eval()
    before = weights_of(run.model)

    row = validate(run.model, run.validation, run.manifest, run.launch)
    assert set(row) == {"validation_retain_acc", "validation_forget_acc"}
    assert run.model.training
    assert not run.model.layer1.training
    assert equal(before, weights_of(run.model))


def test_a_phase_ends_when_enough_is_forgotten(make_run: MakeRun) -> None:
    run = make_run()
    progress = run.drive(stopping_early(run))
    assert progress.epochs == [1, 2]
    assert "forget_acc" in progress.rows[0]
    assert "forget_acc" not in progress.rows[1]
    assert [row["epoch"] for row in progress.rows] == [1, 2, 3]


def test_forget_accuracy_that_stays_above_the_bound_stops_nothing(make_run: MakeRun) -> None:
    run = make_run()
    recipe = UnlearnRecipe(**{**RECIPE, "lr": 0.000001, "epochs": 3}, stop_at_forget_acc=0)
    run.model.get_classifier().bias.data[1] = 100.0  # everything is class 1, which is to be forgotten
    assert run.drive(plain(run, recipe)).epochs == [3]


def test_a_scan_sees_every_image_of_a_part_once_in_order(make_run: MakeRun, world: Manifest) -> None:
    run = make_run()
    positions = torch.cat([batch.positions for batch in run.scan("retain", batch_size=7)])
    assert positions.tolist() == world.select("train", "retain").tolist()


def test_the_teacher_stays_as_the_model_was(make_run: MakeRun) -> None:
    run = make_run()
    teacher, before = run.teacher(), weights_of(run.model)
    run.drive(plain(run))
    assert equal(weights_of(teacher.network), before)
    assert not any(module.training for module in teacher.network.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_what_is_done_after_each_step_sees_its_weights_and_ends_with_the_phase(make_run: MakeRun) -> None:
    run = make_run()
    seen: list[tuple[int, Tensor]] = []
    before: list[Tensor] = []

    def first_phase() -> Iterator[Tensor]:
        network = run.optimise(run.model, Recipe(**RECIPE))
        weight = run.model.get_classifier().weight
        run.after_each_step(lambda: seen.append((run.progress.step, weight.detach().clone())))
        for batch in run.batches("retain", Recipe(**RECIPE)):
            before.append(weight.detach().clone())
            yield F.cross_entropy(network(batch.images), batch.labels)

    def program() -> Iterator[Tensor]:
        yield from first_phase()
        yield from plain(run)

    progress = run.drive(program())
    assert progress.step > len(seen) == len(before) == 2 * (64 // 8)
    assert [step for step, _ in seen] == list(range(len(seen)))
    assert not torch.equal(seen[0][1], before[0])
    assert all(torch.equal(after, then) for (_, after), then in zip(seen[:-1], before[1:], strict=True))


def test_a_constraint_on_the_weights_holds_before_the_next_step_and_in_the_end(make_run: MakeRun) -> None:
    run = make_run()
    bias = run.model.get_classifier().bias

    def program() -> Iterator[Tensor]:
        network = run.optimise(run.model, Recipe(**RECIPE))
        run.after_each_step(lambda: bias.data.fill_(0.5))
        for number, batch in enumerate(run.batches("retain", Recipe(**RECIPE))):
            assert number == 0 or (bias == 0.5).all()
            yield F.cross_entropy(network(batch.images), batch.labels)

    run.drive(program())
    assert (bias == 0.5).all()


@pytest.fixture
def surrogate(world: Manifest) -> BatchSchedule:
    """Twenty dark images from files, of which no label is known."""
    folder = Path("something_else")
    folder.mkdir()
    for number in range(20):
        Image.fromarray(np.full((SIZE, SIZE), number, dtype=np.uint8)).save(folder / f"{number:02}.png")
    manifest = surrogate_manifest(folder, "scar.surrogate", world)
    return BatchSchedule(manifest, ImageSplit(manifest, SURROGATE, torch.device("cpu")), 0, "test", SURROGATE)


def test_images_of_a_surrogate_stand_in_for_the_retain_set(
    make_run: MakeRun, world: Manifest, surrogate: BatchSchedule
) -> None:
    runs = [make_run(folder="with"), make_run(folder="without")]
    pairs: list[list[tuple[Batch, Batch]]] = []
    for run, other in zip(runs, (surrogate, None), strict=True):
        run.optimise(run.model, FOUR)
        pairs.append(list(islice(run.pairs(FOUR, 3, other), 4 * 3)))  # the forget set once
    for (forget, shown), (as_ever, _) in zip(*pairs, strict=True):
        assert torch.equal(forget.images, as_ever.images)
        assert len(shown.images) == FOUR.batch_size
        assert (shown.labels == -1).all()
        assert (shown.images * world.std[0] + world.mean[0]).max() < 40 / 255
    passes = [torch.cat([pair[1].positions for pair in pairs[0][first : first + 2]]) for first in range(0, 12, 2)]
    assert all(len(seen.unique()) == 16 for seen in passes)
    assert torch.cat(passes).unique().tolist() == list(range(20))
    assert runs[0].progress.samples == runs[1].progress.samples == 4 * 3 * 2 * FOUR.batch_size


def test_a_rehearsal_tells_the_steps_and_about_the_time_of_the_whole_run(make_run: MakeRun) -> None:
    rehearsed = make_run(folder="rehearsal")
    told = rehearsed.rehearse(plain(rehearsed, FOUR), 3)
    assert rehearsed.progress.step == 3
    whole = make_run(folder="whole")
    assert told.steps == whole.drive(plain(whole, FOUR)).step
    assert told.seconds == told.before + told.step * told.steps
    assert told.step > 0
    assert not list(Path("rehearsal").glob("*"))


def test_a_rehearsal_counts_what_is_done_before_the_first_step(make_run: MakeRun) -> None:
    def program(run: Run) -> Iterator[Tensor]:
        time.sleep(0.3)
        yield from plain(run)

    run = make_run()
    assert run.rehearse(program(run), 2).before > 0.3


def test_a_single_image_that_batchnorm_cannot_normalise_is_one_clear_line(make_run: MakeRun) -> None:
    def program(run: Run) -> Iterator[Tensor]:
        network = run.optimise(run.model, FOUR)
        for batch in run.batches("all", FOUR):
            yield network(batch.images[:1]).mean()

    run = make_run()
    with pytest.raises(InputError, match="test: BatchNorm cannot normalise a batch of a single image"):
        run.drive(program(run))
