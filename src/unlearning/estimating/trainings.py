"""How long trainings take: the first steps of each on noise, the rest reckoned.

A batch that would take long is cut, and its step's time and operations multiplied: both grow with its images.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.counts import Counts
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Rehearsal, Run
from unlearning.estimating.flops import count_flops
from unlearning.estimating.noise import noise
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import Recipe, UnlearnRecipe

STEPS = 5  # of which the first, which warms up, does not count
OPERATIONS = 2e11  # of a step that is tried, about: some seconds of a CPU
LEAST = 4  # images of a batch: BatchNorm asks for more than one
SIZES = ("batch_size", "forget_batch_size", "retain_batch_size", "second_batch_size")  # of a recipe

Program = Callable[[Run, Any], Iterator[Tensor]]


@dataclass(frozen=True)
class Subject:
    """What is trained on what, where: a network without its weights, and how many images there are."""

    shape: Architecture
    flops: int  # of one image's forward pass
    counts: Counts
    forgotten: int  # classes
    where: Launch


@dataclass(frozen=True)
class Training:
    """One training of one seed."""

    steps: int
    step: float  # seconds
    before: float  # seconds until the first step: statistics of the data, teachers
    flops: float  # of all steps

    @property
    def seconds(self) -> float:
        return self.before + self.steps * self.step


def try_training(name: str, subject: Subject, recipe: Recipe, program: Program, with_modules: bool) -> Training:
    """Run the first steps of a program on noise and reckon the whole."""
    whole = min(recipe.batch_size, subject.counts.training)
    batch = min(whole, max(LEAST, int(OPERATIONS / (3 * subject.flops))))
    cfg = cut(recipe, batch / recipe.batch_size)
    few = Counts(min(subject.counts.forget, STEPS * batch), min(subject.counts.retain, 2 * STEPS * batch))
    shape = subject.shape
    with noise(few, shape.classes, shape.channels, shape.image_size, subject.forgotten) as manifest:

        def make() -> Run:
            torch.manual_seed(0)
            return run_on(manifest, name, subject.where, build(shape), partial(build, shape), with_modules)

        def rehearse(steps: int) -> Rehearsal:
            run = make()
            return run.rehearse(program(run, cfg), steps)

        timed = rehearse(STEPS)
        if timed.steps == cfg.steps(few):
            counted = [count_flops(partial(rehearse, steps)) for steps in (1, 2)]
            step, flops = timed.step, float(counted[1] - counted[0])
        else:  # in several phases, whose steps are not alike
            step, flops = mean_step(make, program, cfg)
    larger, steps = whole / batch, recipe.steps(subject.counts)
    before = timed.before * subject.counts.training / few.training
    return Training(steps, step * larger, before, flops * larger * steps)


def mean_step(make: Callable[[], Run], program: Program, cfg: Recipe) -> tuple[float, float]:
    """Run a program to its end, once for the time and once for the count; return seconds and operations a step."""
    run, started = make(), time.perf_counter()
    steps = run.drive(program(run, cfg)).step
    seconds = time.perf_counter() - started
    counted = make()
    return seconds / steps, count_flops(lambda: counted.drive(program(counted, cfg))) / steps


def run_on(
    manifest: Manifest, name: str, where: Launch, model: nn.Module, fresh: Callable[[], nn.Module], with_modules: bool
) -> Run:
    """Return a run on noise that begins anew, whatever ran before, and writes into the folder of the noise alone."""
    modules = ec_modules(model) if with_modules else None
    resume = ResumeState(Path(tempfile.mkdtemp(dir=".")))
    return Run(name, where, manifest, model, 0, resume, modules, show_progress=False, fresh=fresh)


def cut(recipe: Recipe, share: float) -> Recipe:
    """Return a recipe with all its batches cut to a share (0, 1], that does not end early and learns nothing.

    At the learning rate of images some methods diverge on noise, and what is not finite is refused.
    """
    own = {key: getattr(recipe, key) for key in SIZES if hasattr(recipe, key)}
    changes: dict[str, object] = {key: max(LEAST, round(share * size)) for key, size in own.items()} | {"lr": 0.0}
    if isinstance(recipe, UnlearnRecipe):
        changes["stop_at_forget_acc"] = None
    return recipe.model_copy(update=changes)


def forward_flops(shape: Architecture) -> int:
    """Return the operations of one image's forward pass, counted on shapes alone."""
    model, image = (
        meta_network(shape),
        torch.zeros(1, shape.channels, shape.image_size, shape.image_size, device="meta"),
    )
    with torch.no_grad():
        return count_flops(lambda: model(image))


def meta_network(shape: Architecture) -> nn.Module:
    """Return the network without its weights."""
    with torch.device("meta"):
        return build(shape).eval()
