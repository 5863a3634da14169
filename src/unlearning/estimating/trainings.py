"""How long trainings take: the first steps of each on noise, the rest reckoned.

A batch that would take long is cut, and its step's time and operations multiplied: both grow with its images.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.counts import Counts
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.estimating.flops import count_flops, counting
from unlearning.estimating.noise import noise
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import Recipe, UnlearnRecipe

STEPS = 6  # of which the first, which warms up, does not count
OPERATIONS = 2e11  # of a step that is tried, about: some seconds of a CPU
PHASE = 2  # batches of each part in a pass of what is run to its end
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
    validation: int = 0  # images to choose by, beside those that are counted
    files: Sequence[Path] | None = None  # of the training images; none where they are not there, None: held in memory

    def few(self, forget: int, retain: int) -> Counts:
        """Return so many images, or as many as there are."""
        return Counts(min(self.counts.forget, forget), min(self.counts.retain, retain))

    def noise(self, counts: Counts) -> AbstractContextManager[Manifest]:
        """Return a split of noise in the shape of the images."""
        shape = self.shape
        return noise(counts, shape.classes, shape.channels, shape.image_size, self.forgotten)


@dataclass(frozen=True)
class Work:
    """What a piece of work takes."""

    seconds: float = 0.0
    flops: float = 0.0
    images: float = 0.0  # that are read

    def __add__(self, other: "Work") -> "Work":
        return Work(self.seconds + other.seconds, self.flops + other.flops, self.images + other.images)

    def __sub__(self, other: "Work") -> "Work":
        return self + other * -1

    def __mul__(self, times: float) -> "Work":
        return Work(self.seconds * times, self.flops * times, self.images * times)


@dataclass(frozen=True)
class Training:
    """One training of one seed."""

    steps: int
    step: Work
    before: Work  # until the first step: teachers, statistics of the data
    checks: Work = Work()  # noqa: RUF009 - frozen. At the end of each epoch: accuracies

    @property
    def work(self) -> Work:
        return self.before + self.step * self.steps + self.checks


def try_training(
    name: str, subject: Subject, recipe: Recipe, program: Program, with_modules: bool, timed: bool = True
) -> Training:
    """Run the first steps of a program on noise and reckon the whole; timed: whether its seconds are asked for."""
    whole = min(recipe.batch_size, subject.counts.training)
    batch = min(whole, max(LEAST, int(OPERATIONS / (3 * subject.flops))))
    cfg = cut(recipe, batch / recipe.batch_size)
    forget = 1 if goes_through_retained(cfg) else STEPS  # batches: one, so that the steps tried are of both kinds
    few, shape = subject.few(forget * batch, 2 * STEPS * batch), subject.shape

    def make(manifest: Manifest) -> Run:
        torch.manual_seed(0)
        return run_on(manifest, name, subject.where, build(shape), partial(build, shape), with_modules)

    with subject.noise(few) as manifest:
        before, step, steps = first_steps(partial(make, manifest), program, cfg, few, timed)
    if steps != cfg.steps(few):  # in several phases, whose steps are not alike
        fewer = subject.few(PHASE * batch, PHASE * batch)
        with subject.noise(fewer) as manifest:
            step = mean_step(partial(make, manifest), program, cfg, before * scanned_more(cfg, few, fewer), timed)
    before *= scanned_more(cfg, few, subject.counts)
    step *= whole / batch
    return Training(recipe.steps(subject.counts), step, before, checks(recipe, subject, step))


def goes_through_retained(recipe: Recipe) -> bool:
    """Return whether there are more steps where more images are retained."""
    batch = recipe.batch_size
    return recipe.steps(Counts(batch, 2 * batch)) > recipe.steps(Counts(batch, batch))


def checks(recipe: Recipe, subject: Subject, step: Work) -> Work:
    """Return what the accuracies at the ends of all epochs take, at the rate of a step."""
    stops = isinstance(recipe, UnlearnRecipe) and recipe.stop_at_forget_acc is not None
    images = recipe.epochs * (subject.validation + (subject.counts.forget if stops else 0))
    flops = images * subject.flops
    return Work(flops * step.seconds / step.flops if step.flops else 0.0, flops, images)


def scanned_more(recipe: Recipe, some: Counts, others: Counts) -> float:
    """Return how many times as many images are looked at before the first step where there are others."""
    return recipe.scanned(others) / recipe.scanned(some) if recipe.scanned(some) else 1.0


def first_steps(
    make: Callable[[], Run], program: Program, cfg: Recipe, images: Counts, timed: bool
) -> tuple[Work, Work, int]:
    """Return what comes before the first step, what a step takes, and the steps of the first phase."""
    run, at_loss = make(), list[int]()
    with counting() as so_far:

        def watched() -> Iterator[Tensor]:
            for loss in program(run, cfg):
                at_loss.append(so_far())
                yield loss

        steps = run.rehearse(watched(), STEPS).steps
        flops = so_far()
    scanned, made = cfg.scanned(images), len(at_loss)
    a_step = (at_loss[-1] - at_loss[0]) / (made - 1) if made > 1 else flops
    before = Work(flops=flops - made * a_step, images=scanned)
    step = Work(flops=a_step, images=(images_read(run) - scanned) / made)
    if timed:
        run = make()
        found = run.rehearse(program(run, cfg), STEPS)
        before, step = replace(before, seconds=found.before), replace(step, seconds=found.step)
    return before, step, steps


def mean_step(make: Callable[[], Run], program: Program, cfg: Recipe, before: Work, timed: bool) -> Work:
    """Return what a step takes in the mean of a program that is run to its end."""
    run = make()
    flops = count_flops(lambda: run.drive(program(run, cfg)))
    everything = Work(flops=flops, images=images_read(run))
    if timed:
        another, started = make(), time.perf_counter()
        another.drive(program(another, cfg))
        everything = replace(everything, seconds=time.perf_counter() - started)
    step = (everything - before) * (1 / run.progress.step)
    return replace(step, seconds=max(step.seconds, 0.0))


def images_read(run: Run) -> int:
    """Return how many images a run has read."""
    return run.train_split.images_read + (run.whole_split.images_read if run.launch.world > 1 else 0)


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
