"""SCRUB: the student leaves its teacher, the original, on the forget set and stays with it on the retain set.

Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, official code (`train_distill`, `KD.py`): epoch e
is a max pass over the forget set (loss -KD) while e <= m_steps, then always a min pass over the retain set (gamma CE +
alpha KD), so every run ends on a min pass. KD is T^2 KL(teacher || student). The EC paper's SCRUB (`variant: ec_paper`,
UUEF's code) counts m_steps in optimiser steps: each epoch begins with the first m_steps batches of a shuffled pass over
the forget set and goes on with those of one over the retain set; a pass ends with its set, so neither is longer than
one. The teacher is in eval mode, the student's BatchNorm trains. `rewind` is SCRUB+R: of all epochs keep the one whose
forget error is nearest to the final model's on validation images of the forget classes.
"""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from unlearning.bounds import BatchSize, Steps, Temperature, Weight
from unlearning.counts import Counts
from unlearning.data.batches import Batch
from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.losses.distillation import distillation
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    variant: Literal["official", "ec_paper"]
    m_steps: Steps  # epochs that begin with a max pass; ec_paper: steps of each kind in an epoch, at most a pass
    forget_batch_size: BatchSize
    alpha: Weight  # weight of KD on the retain set
    gamma: Weight  # weight of CE on the retain set
    temperature: Temperature
    rewind: bool

    def steps(self, images: Counts) -> int:
        forget, retain = images.steps("forget", self.forget_batch_size), images.steps("retain", self.batch_size)
        return sum(sum(plan) for plan in self.plan(forget, retain))

    def plan(self, forget: int, retain: int) -> list[tuple[int, int]]:
        """Return each epoch's max and min steps; forget, retain: the steps of a whole pass."""
        if self.variant == "ec_paper":
            return [(min(self.m_steps, forget), min(self.m_steps, retain))] * self.epochs
        return [(forget if epoch < self.m_steps else 0, retain) for epoch in range(self.epochs)]


SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield -KD(forget) for each step of a max pass, gamma CE + alpha KD(retain) for each of a min pass.

    Raises InputError for a rewind without a validation image of the forget classes.
    """
    if cfg.rewind and not len(run.manifest.select("validation", "forget")):
        raise InputError(
            f"{run.name}.rewind: the validation split holds no forget image; set data.validation_fraction above 0"
        )
    teacher = run.teacher()
    network = run.optimise(run.model, cfg)
    passes = run.schedule.steps("forget", cfg.forget_batch_size), run.schedule.steps("retain", cfg.batch_size)
    plan = cfg.plan(*passes)
    for epoch in run.epochs([sum(steps) for steps in plan]):
        max_steps, min_steps = plan[epoch - 1]
        for forget in beginning(run, cfg, "forget", cfg.forget_batch_size, epoch, max_steps):
            yield -distillation(network(forget.images), teacher(forget.images), cfg.temperature)
        for retain in beginning(run, cfg, "retain", cfg.batch_size, epoch, min_steps):
            logits = network(retain.images)
            kd = distillation(logits, teacher(retain.images), cfg.temperature)
            yield cfg.gamma * F.cross_entropy(logits, retain.labels) + cfg.alpha * kd
        if cfg.rewind:
            remember(run, epoch)
    if cfg.rewind:
        rewind(run)


def beginning(run: Run, cfg: Config, part: Part, batch_size: int, epoch: int, steps: int) -> Iterator[Batch]:
    """Yield the first `steps` batches of the epoch's own shuffled pass over a part; all of them make it whole."""
    whole = run.schedule.steps(part, batch_size)
    return run.stream(part, batch_size, cfg.augment, (epoch - 1) * whole, steps)


def remember(run: Run, epoch: int) -> None:
    """Keep the weights of this epoch and its error on the forget set, in percent."""
    weights = {name: value.detach().cpu().clone() for name, value in run.model.state_dict().items()}
    run.progress.memory[f"epoch {epoch}"] = {"error": 100 - run.forget_acc(), "weights": weights}


def rewind(run: Run) -> None:
    """Go back to the epoch whose forget error is nearest to the final one on unseen images of the forget classes."""
    wanted = 100 - run.progress.rows[-1]["validation_forget_acc"]
    chosen = min(run.progress.memory.values(), key=lambda kept: abs(kept["error"] - wanted))
    run.model.load_state_dict(chosen["weights"])
