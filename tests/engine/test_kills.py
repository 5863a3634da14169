"""Runs that are killed at random steps, again and again, end like one that was left alone: to the bit.

Killed here means that the loop ends without a chance to do anything; tests/test_chaos.py kills processes.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tests.chaos import Ended, tried, tries
from tests.conftest import RECIPE, SHAPE, SIZE, config_of, weights_of
from unlearning.data.manifest import Manifest, Split
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.methods import method_program
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import PretrainEC, Recipe, Train, known_methods
from unlearning.training.classifier import train_classifier
from unlearning.training.ec_modules import pretrain_ec_modules

pytestmark = pytest.mark.chaos
TRIES = tries(2, 20)
DROPPING = Architecture(SHAPE.name, {**SHAPE.kwargs, "drop_rate": 0.3}, *list(vars(SHAPE).values())[2:])
Program = Callable[[Run], Iterator[Tensor]]
THREE = Recipe(**{**RECIPE, "epochs": 3, "optimizer": "adamw", "lr": 0.01})
VARIANTS = {"scrub": {"m_steps": 2, "rewind": True}, "duck": {"second_epochs": 2}, "duck_ec": {"second_epochs": 2}}


class Killed(BaseException):
    pass


def one_by_one(run: Run) -> Iterator[Tensor]:
    """Two streams behind each other, the second longer than the first, and values that are logged."""
    network = run.optimise(run.model, THREE)
    forget, retain = run.schedule.steps("forget", 8), run.schedule.steps("retain", 8)
    for epoch in run.epochs([forget + retain] * THREE.epochs):
        for batch in run.visit("forget", 8, THREE.augment, epoch):
            yield -0.01 * F.cross_entropy(network(batch.images), batch.labels)
        for batch in run.stream("retain", 8, THREE.augment, (epoch - 1) * retain, retain):
            logits = network(batch.images)
            run.log(acc=100 * (logits.argmax(dim=1) == batch.labels).float().mean())
            yield F.cross_entropy(logits, batch.labels)


def side_by_side(run: Run) -> Iterator[Tensor]:
    """Two streams at once."""
    network, steps = run.optimise(run.model, THREE), run.schedule.steps("retain", 8)
    for epoch in run.epochs([steps] * THREE.epochs):
        forget = run.stream("forget", 8, THREE.augment, (epoch - 1) * steps, steps)
        for batch, other in zip(run.visit("retain", 8, THREE.augment, epoch), forget, strict=True):
            noise = torch.rand((), generator=run.generator("noise"))
            yield F.cross_entropy(network(batch.images), batch.labels) - 0.01 * noise * network(other.images).mean()


def drawing_ahead(run: Run) -> Iterator[Tensor]:
    """A program that reads its batches ahead of its steps: within an epoch it cannot be gone on with."""
    network, steps = run.optimise(run.model, THREE), run.schedule.steps("retain", 8)
    for epoch in run.epochs([steps] * THREE.epochs):
        for batch in list(run.visit("retain", 8, THREE.augment, epoch)):
            yield F.cross_entropy(network(batch.images), batch.labels)


def twice_each(run: Run) -> Iterator[Tensor]:
    """A program with two steps a batch: the same holds."""
    network, steps = run.optimise(run.model, THREE), run.schedule.steps("retain", 8)
    for epoch in run.epochs([2 * steps] * THREE.epochs):
        for batch in run.visit("retain", 8, THREE.augment, epoch):
            for _ in range(2):
                yield F.cross_entropy(network(batch.images), batch.labels)


def unlearn(method: str, run: Run) -> Iterator[Tensor]:
    return method_program(method)(run, config_of(method, epochs=3, **VARIANTS.get(method, {})))


PROGRAMS: dict[str, Program] = {
    "train": lambda run: train_classifier(run, Train(**{**RECIPE, "epochs": 3}, label_smoothing=0.1), "all"),
    "pretrain_ec": lambda run: pretrain_ec_modules(run, PretrainEC(**{**RECIPE, "epochs": 3}, tau=0.2)),
    **{method: partial(unlearn, method) for method in known_methods()},
    "one_by_one": one_by_one,
    "side_by_side": side_by_side,
    "drawing_ahead": drawing_ahead,
}


def make(manifest: Manifest, name: str, folder: str, workers: int = 0) -> Run:
    torch.manual_seed(0)
    model = build(DROPPING)
    return Run(
        name, launch("fp32"), manifest, model, 0, ResumeState(Path(folder)), ec_modules(model), workers,
        show_progress=False, fresh=partial(build, DROPPING), checkpoint_minutes=0.0,
    )  # fmt: skip


def killed_behind(steps: int, program: Iterator[Tensor]) -> Iterator[Tensor]:
    for number, loss in enumerate(program):
        if number == steps:
            raise Killed
        yield loss


def outcome(run: Run) -> tuple[list[dict], int, int, dict[str, Tensor]]:
    return run.progress.rows, run.progress.step, run.progress.samples, weights_of(run.network)


def assert_equal(one: tuple, other: tuple) -> None:
    assert one[:3] == other[:3]
    assert one[3].keys() == other[3].keys()
    for name, value in one[3].items():
        assert torch.equal(value, other[3][name]), name


def driven_through_kills(
    fresh: Callable[[], Run], program: Program, steps: int, chance: random.Random
) -> tuple[Run, int]:
    """Drive a run that is killed three times, each time behind a random number of steps; return it and its resumes."""
    resumes = 0
    for _ in range(3):
        run = fresh()
        resumes += run._state is not None
        try:
            run.drive(killed_behind(chance.randrange(1, max(2, steps)), program(run)))
        except Killed:
            continue
        return run, resumes
    run = fresh()
    resumes += run._state is not None
    run.drive(program(run))
    return run, resumes


@pytest.fixture
def saving_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))


@pytest.mark.usefixtures("saving_always")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_killed_at_random_steps_ends_like_an_undisturbed_one(world: Manifest, name: str) -> None:
    method = name if name in known_methods() else "test"
    whole = make(world, method, "whole")
    whole.drive(PROGRAMS[name](whole))
    resumed = 0
    for number in range(TRIES):
        fresh = partial(make, world, method, f"broken{number}")
        run, resumes = driven_through_kills(
            fresh, PROGRAMS[name], whole.progress.step, random.Random(f"{name} {number}")
        )
        assert_equal(outcome(run), outcome(whole))
        resumed += resumes
        tried("trainings and methods killed between two steps, up to three times each", Ended.SAME)
    assert resumed > 0


@pytest.mark.usefixtures("saving_always")
@pytest.mark.parametrize("name", ["train", "scrub", "cola", "duck", "ec", "one_by_one", "side_by_side"])
def test_it_loses_no_step(world: Manifest, name: str) -> None:
    """The state is that of the last step, also in the middle of an epoch and in a later phase."""
    method = name if name in known_methods() else "test"
    whole = make(world, method, "whole")
    steps = whole.drive(PROGRAMS[name](whole)).step
    for behind in random.Random(name).sample(range(2, steps), min(4, steps - 2)):
        broken = make(world, method, f"broken{behind}")
        with pytest.raises(Killed):
            broken.drive(killed_behind(behind, PROGRAMS[name](broken)))
        resumed = make(world, method, f"broken{behind}")
        assert resumed._state.progress.step == behind
        assert resumed.drive(PROGRAMS[name](resumed)).step == steps
        assert_equal(outcome(resumed), outcome(whole))


@pytest.fixture
def streamed(world: Manifest) -> Manifest:
    """The same classes in files, read by worker processes, which draw seeds from the generator that dropout uses."""
    folder = Path("files")
    folder.mkdir()
    splits = {}
    for name, count in (("train", 48), ("validation", 6), ("test", 6)):
        labels = np.arange(count) % len(world.classes)
        ids = [f"{name}{number}.png" for number in range(count)]
        for number, (one, label) in enumerate(zip(ids, labels, strict=True)):
            pixels = np.random.default_rng(number).integers(0, 120, (SIZE, SIZE), dtype=np.uint8)
            pixels[label] += 130
            Image.fromarray(pixels).save(folder / one)
        splits[name] = Split(ids, labels)
    return Manifest("test", world.classes, SIZE, 1, [0.3], [0.3], str(folder), "x", splits, forget_classes=[1, 4])


@pytest.mark.usefixtures("saving_always")
@pytest.mark.parametrize("program", [one_by_one, side_by_side])
def test_images_that_are_streamed_meet_the_same_dropout(streamed: Manifest, program: Program) -> None:
    whole = make(streamed, "test", "whole", workers=1)
    steps = whole.drive(program(whole)).step
    for behind in (2, 5):
        broken = make(streamed, "test", f"broken{behind}", workers=1)
        with pytest.raises(Killed):
            broken.drive(killed_behind(behind, program(broken)))
        resumed = make(streamed, "test", f"broken{behind}", workers=1)
        assert resumed._state.progress.step == behind
        assert resumed.drive(program(resumed)).step == steps
        assert_equal(outcome(resumed), outcome(whole))


@pytest.mark.usefixtures("saving_always")
def test_what_cannot_go_on_within_an_epoch_is_saved_at_its_end_alone(world: Manifest) -> None:
    broken = make(world, "test", "broken")
    with pytest.raises(Killed):
        broken.drive(killed_behind(12, drawing_ahead(broken)))
    state = make(world, "test", "broken")._state
    assert (state.progress.epochs, state.position.steps) == ([1], 0)


@pytest.mark.usefixtures("saving_always")
def test_a_program_with_two_steps_a_batch_ends_the_same(world: Manifest) -> None:
    whole = make(world, "test", "whole")
    whole.drive(twice_each(whole))
    for behind in (1, 3, 11, 19):
        broken = make(world, "test", f"broken{behind}")
        with pytest.raises(Killed):
            broken.drive(killed_behind(behind, twice_each(broken)))
        resumed = make(world, "test", f"broken{behind}")
        resumed.drive(twice_each(resumed))
        assert_equal(outcome(resumed), outcome(whole))
