"""A run: what a program (training or unlearning) sees of data, device and time, and the loop that drives it.

A program is a generator that yields one loss per optimiser step and says nothing about backward passes, precision,
processes, progress or resuming; `drive` does these, once, for all of them.
"""

import copy
import math
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from unlearning.data.batches import Batch, ImageSplit, in_order, share_of
from unlearning.data.manifest import Manifest, Part
from unlearning.engine.curves import Row
from unlearning.engine.launch import Launch
from unlearning.engine.loss_watch import LossWatch
from unlearning.engine.optimisation import Moment, learning_rate, make_optimizer
from unlearning.engine.pieces import InPieces
from unlearning.engine.progress import Position, Progress
from unlearning.engine.resume import ResumeState
from unlearning.engine.schedule import BatchSchedule
from unlearning.engine.state import State, Unusable, checked, refuse_other_plan, refuse_other_shapes
from unlearning.engine.validation import accuracy, eval_mode, validate
from unlearning.errors import InputError, Stopped
from unlearning.models.backbone import freeze
from unlearning.params import Augment, Recipe, UnlearnRecipe
from unlearning.seeds import derive_seed, generator
from unlearning.stopping import asked, listening, why

SCAN_BATCH = 512  # images
SINGLE_VALUE = "Expected more than 1 value per channel when training"  # torch's BatchNorm on one image of one pixel


@dataclass(frozen=True)
class Rehearsal:
    """What a program probably takes on this machine, in its first phase."""

    before: float  # seconds until the first step: statistics of the data, teachers
    step: float  # seconds of one optimiser step
    steps: int  # optimiser steps of the phase

    @property
    def seconds(self) -> float:
        return self.before + self.step * self.steps


class Run:
    """Everything a program may use. `model` is the classifier that is trained and saved in the end."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        manifest: Manifest,
        model: nn.Module,
        seed: int,
        resume: ResumeState,
        modules: nn.ModuleDict | None = None,
        workers: int = 0,
        show_progress: bool = True,
        fresh: Callable[[], nn.Module] | None = None,
        checkpoint_minutes: float = math.inf,
        max_images: int | None = None,
    ) -> None:
        """checkpoint_minutes: after so many the state is saved within an epoch too. max_images: computed at once."""
        self.name, self.launch, self.manifest, self.model, self.modules = name, launch, manifest, model, modules
        self.seed, self.resume, self.workers, self._fresh = seed, resume, workers, fresh
        self.show_progress = show_progress and launch.main
        self.progress = Progress()
        self.train_split = ImageSplit(manifest, "train", launch.device, workers, launch.rank, launch.world)
        alone = launch.world == 1
        self.whole_split = self.train_split if alone else ImageSplit(manifest, "train", launch.device, workers)
        self.schedule = BatchSchedule(manifest, self.train_split, seed, name)
        self._to_forget = manifest.to_forget("train")
        has_validation = len(manifest.splits["validation"].labels) > 0
        self.validation = ImageSplit(manifest, "validation", launch.device, workers) if has_validation else None
        self.network: nn.Module = model
        self._minutes, self._max_images = checkpoint_minutes, max_images
        self._pieces: InPieces | None = None
        self._position = Position(launch.device)
        self._state = self._saved_before()
        self._within: Callable[[], None] | None = None  # sets the position to where an epoch was interrupted
        self._looked = False  # whether the loss of the last step was looked at
        self._saved = ""  # what of it is saved, in words
        self._phase = 0  # which call of `optimise` is current, from 1
        self._watch = LossWatch(name, launch)
        self._started = time.monotonic()

    # ---- what a program calls -------------------------------------------------------------------------------------

    def optimise(
        self, network: nn.Module, recipe: Recipe, parameters: Iterable[nn.Parameter] | None = None
    ) -> nn.Module:
        """Begin a phase: train `network` (or only `parameters`) by the recipe.

        Returns the module to call: forward passes in the run's precision, outputs in float32, so that losses are too.
        """
        if recipe.batch_size % self.launch.world:
            raise InputError(
                f"{self.name}: a batch_size of {recipe.batch_size} cannot be shared equally by {self.launch.world} "
                "processes; choose a multiple of their number"
            )
        self._phase += 1
        self.network, self.recipe = network.train(), recipe
        distributed = self.launch.distribute(network)
        self._pieces = None if self._max_images is None else InPieces(distributed, self._max_images)
        chosen = list(parameters) if parameters is not None else [p for p in network.parameters() if p.requires_grad]
        self._clipped = chosen
        self.optimizer = make_optimizer(chosen, recipe)
        if not (self._is_in_phase() and self._restored()) and not self._skips_phase():
            self.progress.epochs.append(0)
        return self._pieces or distributed

    def epochs(self, steps: list[int]) -> Iterator[int]:
        """Yield the number of each epoch, counted on over the phases; `steps` are the optimiser steps of each.

        Epochs done before a resume are skipped, and in the one that was interrupted the batches that were done. When an
        epoch's body is through, the model is validated, the state saved, and the phase ended if the recipe's
        `stop_at_forget_acc` is reached.
        """
        if self._skips_phase():
            return
        done, within = self.progress.epochs[-1], self._go_on_within(steps)
        self._phase_steps, self._phase_step = sum(steps), sum(steps[:done]) + within
        bar = tqdm(
            total=self._phase_steps,
            initial=self._phase_step,
            desc=self.name,
            unit="step",
            dynamic_ncols=True,
            disable=not self.show_progress,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )
        with bar as self._bar:
            for number in range(done, len(steps)):
                if self._forgot_enough():
                    break
                torch.manual_seed(derive_seed(self.seed, self.name, "dropout", self._epoch))
                yield self._epoch
                if within and number == done and self._position.steps != steps[number]:
                    raise self._refusal("its epoch cannot be gone on with in the middle")
                self._finish_epoch()

    def after_each_step(self, action: Callable[[], None]) -> None:
        """Call `action` after each optimiser step of the current phase: for constraints on the weights."""
        self.optimizer.register_step_post_hook(lambda *_: action())

    def visit(self, part: Part, batch_size: int, augment: Augment, epoch: int, views: int = 1) -> Iterator[Batch]:
        """Yield one shuffled pass over a part of the training split; see `BatchSchedule.visit`."""
        rest = partial(self.schedule.visit, part, batch_size, augment, epoch, views)
        for batch in self._position.follow(rest):
            self.count(batch, part)
            yield batch

    def stream(self, part: Part, batch_size: int, augment: Augment, first: int, count: int) -> Iterator[Batch]:
        """Yield `count` batches of endless passes over a part, from number `first`; see `BatchSchedule.stream`."""
        for batch in self._position.follow(
            lambda done: self.schedule.stream(part, batch_size, augment, first + done, count - done)
        ):
            self.count(batch, part)
            yield batch

    def batches(self, part: Part, recipe: Recipe) -> Iterator[Batch]:
        """Yield the batches of all epochs of the recipe."""
        for epoch in self.epochs([self.schedule.steps(part, recipe.batch_size)] * recipe.epochs):
            yield from self.visit(part, recipe.batch_size, recipe.augment, epoch)

    def pairs(
        self, recipe: Recipe, retain_per_forget: int, surrogate: BatchSchedule | None = None
    ) -> Iterator[tuple[Batch, Batch]]:
        """Yield (forget, retain) for all epochs: each forget batch meets `retain_per_forget` retain batches in turn.

        An epoch is one pass over the forget set; the retain batches go on through shuffled passes of their own.
        Images of `surrogate`, if given, stand in for the retain set.
        """
        size, augment = recipe.batch_size, recipe.augment
        steps = self.schedule.steps("forget", size) * retain_per_forget
        companions = surrogate or self.schedule
        part: Part = "all" if surrogate else "retain"

        def rest(epoch: int, done: int) -> Iterator[tuple[Batch, Batch]]:
            others = companions.stream(part, size, augment, (epoch - 1) * steps + done, steps - done)
            begun, met = divmod(done, retain_per_forget)
            for forget in self.schedule.visit("forget", size, augment, epoch, skip=begun):
                yield from ((forget, other) for other in islice(others, retain_per_forget - met))
                met = 0

        for epoch in self.epochs([steps] * recipe.epochs):
            for forget, other in self._position.follow(partial(rest, epoch)):
                self.count(forget, "forget")
                self.count(other, part)
                yield forget, other

    def count(self, batch: Batch, part: Part) -> None:
        """Count the images of all processes, and stand guard: what is called retain holds no forget image."""
        self.progress.samples += len(batch.labels) * self.launch.world
        if part == "retain" and self._to_forget[batch.positions.numpy()].any():
            raise AssertionError(f"{self.name}: a retain batch holds a forget image; the split is broken")

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator that depends on the run's seed, the purpose and the current step alone.

        It is the same in every process: draw for the rows of all of them, and take this one's by `share`.
        """
        back = self._position.steps if self._position.replaying else 0  # its epoch is begun anew
        return generator(self.seed, self.name, purpose, self.progress.step - back)

    def share(self, tensor: Tensor) -> Tensor:
        """Return this process's rows of a tensor with the rows of all: those of its own images."""
        return tensor[share_of(len(tensor), self.launch.rank, self.launch.world)]

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the rows of all processes, with gradient."""
        return self.launch.gather(tensor)

    def teacher(self) -> nn.Module:
        """Return the model as it is now, frozen, in eval mode, on the device: call it before `optimise`."""
        return self.launch.in_precision(self.launch.place(freeze(copy.deepcopy(self.model))))

    def fresh_model(self) -> nn.Module:
        """Return the model as it was before any training, drawn anew; pretrained where training began so."""
        assert self._fresh is not None, f"{self.name}: this run was not told how to build a fresh model"
        torch.manual_seed(derive_seed(self.seed, self.name, "fresh weights"))
        return self._fresh()

    def scan(self, part: Part, batch_size: int = SCAN_BATCH, label: int | None = None) -> Iterator[Batch]:
        """Yield a part of the training split once, in order, not augmented, whole in every process: for statistics.

        label: of its images those of this class alone. Raises InputError for a part without images.
        """
        self.schedule.expect(part)
        positions = self.manifest.select("train", part)
        if label is not None:
            positions = positions[self.manifest.splits["train"].labels[positions] == label]
        yield from self.whole_split.batches(in_order(positions, batch_size))

    def forget_acc(self) -> float:
        """Return the accuracy (percent) on the training images to be forgotten, as it is now, in eval mode.

        Raises InputError where there is none.
        """
        self.schedule.expect("forget")
        with eval_mode(self.model), self.launch.autocast():
            return accuracy(self.model, self.whole_split, self.manifest.select("train", "forget"), self.launch)

    def log(self, **values: Tensor) -> None:
        """Note values of this step; their means over the epoch become columns of the curves."""
        self._watch.log(**values)

    # ---- the loop -------------------------------------------------------------------------------------------------

    def drive(self, program: Iterator[Tensor]) -> Progress:
        """Run a program to its end and return what it cost; the trained weights are in `model`."""
        self._started = time.monotonic()
        try:
            with listening():
                for loss in program:
                    self._step(loss)
                    self._stop_or_save()
        except ValueError as error:
            if SINGLE_VALUE not in str(error):
                raise
            raise InputError(
                f"{self.name}: BatchNorm cannot normalise a batch of a single image; add images of the classes to "
                "forget, or choose a method that shows the model no batch of them alone"
            ) from None
        except Stopped as stop:
            raise Stopped(stop.number, self._what_is_saved()) from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._what_is_saved()) from None
        finally:
            if isinstance(program, Generator):  # ends its progress bar before an error is printed
                program.close()
        if self._state is not None and self.progress.step == 0:
            raise self._refusal("it is of a phase that this program does not come to")
        self.model.eval()
        return self.progress

    def rehearse(self, program: Iterator[Tensor], count: int) -> Rehearsal:
        """Run the first `count` steps of a program, two or more, to see how long it takes; the model is spoilt."""
        started, moments = time.monotonic(), []
        for loss in islice(program, count):
            moments.append(time.monotonic())
            self._step(loss)
            self.launch.synchronise()
        ended = time.monotonic()
        if isinstance(program, Generator):
            program.close()
        between = [later - earlier for earlier, later in pairwise([*moments, ended])]
        return Rehearsal(moments[0] - started, fmean(between[1:] or between), self._phase_steps)

    def cost(self) -> dict[str, float | str]:
        """Return what the run took: time (s, validation and saving left out), steps, images, memory (GB), and where."""
        return {
            "seconds": round(self.progress.seconds, 2),
            "steps": self.progress.step,
            "samples": self.progress.samples,
            "peak_memory_gb": round(self.launch.peak_memory_gb(), 3),
            "device": self.launch.description,
            "precision": self.launch.precision,
            "processes": self.launch.world,
        }

    @property
    def _epoch(self) -> int:
        """The number of the current epoch, from 1, over all phases."""
        return sum(self.progress.epochs) + 1

    @property
    def _stop_at(self) -> float | None:
        return self.recipe.stop_at_forget_acc if isinstance(self.recipe, UnlearnRecipe) else None

    def _skips_phase(self) -> bool:
        """Whether the interrupted run had already left this phase."""
        return self._state is not None and len(self._state.progress.epochs) > self._phase

    def _is_in_phase(self) -> bool:
        """Whether the interrupted run was in this phase."""
        return self._state is not None and len(self._state.progress.epochs) == self._phase

    def _forgot_enough(self) -> bool:
        begun = self.progress.epochs[-1] > 0
        return begun and self._stop_at is not None and self.progress.rows[-1]["forget_acc"] <= self._stop_at

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._pieces is not None:
            self._pieces.take_back()
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._clipped, self.recipe.clip_norm)
        moment = Moment(share=self._phase_step / self._phase_steps, epochs=self.progress.epochs[-1])
        rate = learning_rate(self.recipe, moment)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.progress.step += 1
        self._phase_step += 1
        self._position.stepped()
        self._bar.update()
        self._looked = self._watch.add(loss)
        if self._looked:
            self._watch.look(self._epoch, self.progress.step)
            self._bar.set_postfix(self._watch.shown(), refresh=False)

    def _stop_or_save(self) -> None:
        """Raise Stopped, with the state saved, where this process or another was asked to; else save where it is time.

        Several processes do so where they have met to look at the loss: they must stop behind the same step.
        """
        if not (self._looked or self.launch.world == 1):
            return
        stop = self.launch.highest(asked())
        if stop:
            self._watch.look(self._epoch, self.progress.step)
            with self._clock_stopped():
                self._save(self.resume.try_to_save)
            raise Stopped(stop, why())
        if self._looked and self.resume.due(self._minutes):
            with self._clock_stopped():
                self._save(self.resume.try_to_save)

    def _save(self, save: Callable[[Callable[[], dict[str, Any]]], bool]) -> None:
        if not (self.launch.main and self._position.can_be_gone_on_from and save(self._state_now)):
            return
        self._saved = self._saved_up_to(self._position.steps)

    def _saved_up_to(self, within: int) -> str:
        """Say up to where a state of this moment goes; within: steps done in its epoch."""
        done = sum(self.progress.epochs)
        if within:
            return f"it is saved up to step {self.progress.step}, in epoch {done + 1}"
        return f"its epochs up to {done} are saved"

    def _what_is_saved(self) -> str:
        if not self.show_progress:  # one of many runs of a command, or another process that says it
            return ""
        reason = f"{why()}; " if why() else ""
        return f"{reason}{self.name}, seed {self.seed}: {self._saved or 'no epoch of it is saved yet'}"

    def _finish_epoch(self) -> None:
        self._watch.look(self._epoch, self.progress.step)
        if self._stop_at is not None:
            self._watch.log(forget_acc=torch.tensor(self.forget_acc()))
        with self._clock_stopped():
            row: Row = {"epoch": self._epoch, "step": self.progress.step, "lr": self.optimizer.param_groups[0]["lr"]}
            row |= self._watch.finish_epoch()
            if self.validation is not None:
                row |= validate(self.model, self.validation, self.manifest, self.launch)
            self.progress.rows.append(row)
            self.progress.epochs[-1] += 1
            self._position.begin()
            self._save(self.resume.save_sometimes)

    @contextmanager
    def _clock_stopped(self) -> Iterator[None]:
        self.launch.synchronise()
        self.progress.seconds += time.monotonic() - self._started
        yield
        self._started = time.monotonic()

    def _state_now(self) -> dict[str, Any]:
        return {
            "run": self.resume.folder.name,
            "conditions": self.launch.conditions,
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
            "position": {**self._position.state, "watch": self._watch.state},
        }

    def _saved_before(self) -> State | None:
        """Return the state to go on from: one that is usable and that all processes have alike."""
        raw, state = self.resume.load(), None
        try:
            state = None if raw is None else checked(raw, self.resume.folder.name, self.launch.conditions)
        except Unusable as reason:
            if self.launch.main:
                self.resume.warn(str(reason))
        step = -1 if state is None else state.progress.step
        return state if self.launch.highest(step) == -self.launch.highest(-step) else None

    def _restored(self) -> bool:
        """Go on from the saved state; False where it does not fit, and the run can still begin anew."""
        state = self._state
        assert state is not None
        try:
            refuse_other_shapes(state, self.network, self.optimizer.param_groups)
        except Unusable as reason:
            if self._phase > 1:
                raise self._refusal(str(reason)) from None
            self.resume.warn(str(reason))
            self._state = None
            return False
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(vars(state.optimizer))
        self.progress = Progress(**copy.deepcopy(vars(state.progress)))  # not shared: it tells which phases are done
        self._watch.go_on_from(**vars(state.position.watch))
        place = state.position
        self._within = partial(self._position.begin, place.steps, place.taken, place.random) if place.steps else None
        self._saved = self._saved_up_to(place.steps)
        return True

    def _go_on_within(self, steps: list[int]) -> int:
        """Set the position to where the phase was interrupted; returns the steps done in that epoch."""
        if not self._is_in_phase():
            self._position.begin()
            return 0
        assert self._state is not None
        try:
            refuse_other_plan(self._state.progress, self._state.position.steps, steps)
        except Unusable as reason:
            raise self._refusal(str(reason)) from None
        within, self._within = self._within, None
        if within is None:
            self._position.begin()
        else:
            within()
        return self._position.steps

    def _refusal(self, reason: str) -> InputError:
        return InputError(
            f"{self.name}, seed {self.seed}: {self.resume.path} does not fit this run: {reason}; remove that file, and "
            "the run begins anew"
        )
