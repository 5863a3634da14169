"""What holds for every method file, a new one's included: it needs no entry here unless it freezes BatchNorm."""

import importlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SHAPE, config_of, run_of, weights_of, without_forget_images
from unlearning.budgets import counts_of
from unlearning.data.batches import Batch
from unlearning.data.manifest import Manifest
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.methods import method_program
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import UnlearnRecipe, known_methods

MakeRun = Callable[..., Run]
BATCHNORM_IN_EVAL = {"unsc", "head_distill", "fresh_head"}
FORGET_ONLY = {"pl", "unsc", "delete", "ga"}
RETAIN_ONLY = {"finetune", "fresh_head", "cola", "cola_ec"}
WITHOUT_FORGET_IMAGES = RETAIN_ONLY | {"head_distill"}

pytestmark = pytest.mark.parametrize("method", known_methods())


def make(make_run: MakeRun, method: str, folder: str = "scratch", seed: int = 0) -> Run:
    """Make a run with EC modules; with equal seeds, equal runs."""
    run = make_run(name=method, folder=folder, seed=seed)
    run.modules = ec_modules(run.model)
    return run


def program(run: Run, **changes: object) -> Iterator[Tensor]:
    return method_program(run.name)(run, config_of(run.name, **changes))


@pytest.mark.usefixtures("make_run")
def test_says_what_it_is_and_has_a_checked_config(method: str) -> None:
    module = importlib.import_module(f"unlearning.methods.{method}")
    assert len(module.__doc__.splitlines()) > 1
    assert issubclass(module.Config, UnlearnRecipe)
    assert isinstance(config_of(method), module.Config)


@dataclass(frozen=True)
class Watched:
    """A whole run of a method, and what was seen in it."""

    run: Run
    before: dict[str, Tensor]
    modules_before: dict[str, Tensor]
    losses: list[float]
    seen: dict[str, set[int]]  # the labels of each part
    teachers: list[nn.Module]
    batchnorm: bool  # whether it is in training mode at the first step


def watch(run: Run) -> Watched:
    """Drive a method's program of three epochs to its end."""
    watched = Watched(run, weights_of(run.model), weights_of(run.modules), [], defaultdict(set), [], False)
    teacher, count = run.teacher, run.count
    run.teacher = lambda: watched.teachers.append(teacher()) or watched.teachers[-1]
    run.count = lambda batch, part: (watched.seen[part].update(batch.labels.tolist()), count(batch, part))
    modes: list[bool] = []

    def steps() -> Iterator[Tensor]:
        for loss in program(run, epochs=3):
            modes.append(run.model.bn1.training)
            watched.losses.append(float(loss.detach()))
            yield loss

    run.drive(steps())
    return replace(watched, batchnorm=modes[0])


@pytest.fixture(scope="module")
def watched_runs() -> dict[str, Watched]:
    """Hold each method's run for all tests: the small world is the same in each."""
    return {}


@pytest.fixture
def watched(make_run: MakeRun, method: str, watched_runs: dict[str, Watched]) -> Watched:
    if method not in watched_runs:
        watched_runs[method] = watch(make(make_run, method, folder="watched"))
    return watched_runs[method]


def test_learns_something_and_stays_finite(watched: Watched) -> None:
    after = weights_of(watched.run.model)
    assert watched.run.progress.step > 0
    assert watched.run.progress.samples > 0
    assert all(value.isfinite().all() for value in after.values() if value.is_floating_point())
    assert any(not torch.equal(after[name], value) for name, value in watched.before.items())
    assert not watched.run.model.training


def test_is_another_with_another_seed_from_the_same_weights(make_run: MakeRun, method: str, watched: Watched) -> None:
    other = make(make_run, method, seed=1)
    other.model.load_state_dict(watched.before)
    other.modules.load_state_dict(watched.modules_before)
    losses: list[float] = []

    def steps() -> Iterator[Tensor]:
        for loss in islice(program(other, epochs=3), 4):
            losses.append(float(loss.detach()))
            yield loss

    other.drive(steps())
    assert losses != pytest.approx(watched.losses[: len(losses)], rel=1e-4)


def test_is_the_same_when_run_again_and_after_a_kill(
    make_run: MakeRun, method: str, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))
    expected = watched.run.progress
    broken = make(make_run, method, folder="broken")
    losses = program(broken, epochs=3)

    def killed() -> Iterator[Tensor]:
        for loss in losses:
            if broken.progress.step == expected.step * 2 // 3:
                raise KeyboardInterrupt
            yield loss

    with pytest.raises(KeyboardInterrupt):
        broken.drive(killed())
    assert broken.resume.load() is not None
    resumed = make(make_run, method, folder="broken")
    progress = resumed.drive(program(resumed, epochs=3))
    assert (progress.step, progress.samples) == (expected.step, expected.samples)
    for name, value in weights_of(watched.run.model).items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_makes_the_steps_and_looks_at_the_images_beforehand_that_its_recipe_says(
    make_run: MakeRun, method: str
) -> None:
    def beginning_with(loss: Tensor, losses: Iterator[Tensor]) -> Iterator[Tensor]:
        yield loss
        yield from losses

    run, recipe = make(make_run, method), config_of(method)
    if recipe.stop_at_forget_acc is not None:  # one that may end early
        recipe = recipe.model_copy(update={"stop_at_forget_acc": None})
    images, losses = counts_of(run.manifest), method_program(method)(run, recipe)
    first = next(losses)
    assert recipe.scanned(images) == run.train_split.images_read - run.progress.samples
    assert recipe.steps(images) == run.drive(beginning_with(first, losses)).step


def test_no_gradient_reaches_the_teacher(watched: Watched) -> None:
    for teacher in watched.teachers:
        assert not any(module.training for module in teacher.network.modules())
        assert all(parameter.grad is None for parameter in teacher.parameters())
        assert all(torch.equal(teacher.network.state_dict()[name], value) for name, value in watched.before.items())


def test_sees_the_parts_it_says_and_no_forget_image_as_retained(method: str, watched: Watched) -> None:
    seen, forget_classes = watched.seen, set(watched.run.manifest.forget_classes)
    assert not seen["retain"] & forget_classes
    assert seen["forget"] <= forget_classes
    assert not (method in FORGET_ONLY and (seen["retain"] or seen["all"]))
    assert not (method in RETAIN_ONLY and (seen["forget"] or seen["all"]))


def test_batchnorm_is_in_the_mode_it_says(method: str, watched: Watched) -> None:
    assert watched.batchnorm == (method not in BATCHNORM_IN_EVAL)
    still = torch.equal(watched.run.model.bn1.running_mean, watched.before["bn1.running_mean"])
    assert still == (method in BATCHNORM_IN_EVAL)


def test_a_batch_larger_than_the_set_is_the_set(
    make_run: MakeRun, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(make_run, method)
    sizes: list[int] = []
    whole = run.count

    def count(batch: Batch, part: str) -> None:
        sizes.append(len(batch.labels.unique()))
        whole(batch, part)

    run.count = count
    run.drive(program(run, batch_size=1000, epochs=1))
    assert sizes
    assert f"{method}: batch_size 1000, but there are" in capsys.readouterr().err


@pytest.mark.usefixtures("make_run")
def test_unknown_keys_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="lambda_typo"):
        config_of(method, lambda_typo=1.0)


def test_without_an_image_to_forget_it_runs_or_says_what_it_needs(world: Manifest, method: str) -> None:
    manifest = without_forget_images(world, "train", "validation", "test")
    model = build(SHAPE)
    run = run_of(method, manifest, model, ec_modules(model))
    if method in WITHOUT_FORGET_IMAGES:
        assert run.drive(program(run)).step > 0
        assert "validation_forget_acc" not in run.progress.rows[-1]
    else:
        with pytest.raises(
            InputError, match=f"{method}: there is no train image to forget, and this method needs some"
        ):
            run.drive(program(run))
