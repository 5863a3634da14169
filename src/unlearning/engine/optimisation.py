"""Optimisers and learning-rate schedules, by their names in params.yaml."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from unlearning.errors import InputError, did_you_mean
from unlearning.params import Recipe

ONE_CYCLE_START = 0.04  # of the peak, as in torch's OneCycleLR


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser named by `recipe.optimizer`; raises InputError for an unknown one."""
    return _named(OPTIMIZERS, recipe.optimizer, "optimizer")(list(parameters), recipe)


@dataclass(frozen=True)
class Moment:
    """Where in its phase an optimiser step is."""

    share: float  # of the steps of the phase that are done, in 0..1
    epochs: int  # of the phase that are done


def learning_rate(recipe: Recipe, moment: Moment) -> float:
    """Return the learning rate of a step, by `recipe.schedule` with its warm-up; raises InputError for an unknown one.

    Pure in the moment, so a resumed run needs no scheduler state.
    """
    return recipe.lr * _named(SCHEDULES, recipe.schedule, "schedule")(recipe, moment)


def _sgd(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _adam(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, recipe.lr, weight_decay=recipe.weight_decay)


def _adamw(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay)


def _ramp(share: float, warmup: float) -> float:
    return min(1.0, share / warmup) if warmup else 1.0


def _after(share: float, warmup: float) -> float:
    return max(0.0, share - warmup) / (1 - warmup)


def _cosine_fall(share: float) -> float:
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _constant(recipe: Recipe, moment: Moment) -> float:
    return _ramp(moment.share, recipe.warmup)


def _step(recipe: Recipe, moment: Moment) -> float:
    """Multiply by `decay` once `milestone` epochs are done (torch's MultiStepLR; SCRUB's epoch > milestone, from 1)."""
    passed = sum(moment.epochs >= milestone for milestone in recipe.milestones)
    return _ramp(moment.share, recipe.warmup) * recipe.decay**passed


def _cosine(recipe: Recipe, moment: Moment) -> float:
    return _ramp(moment.share, recipe.warmup) * _cosine_fall(_after(moment.share, recipe.warmup))


def _one_cycle(recipe: Recipe, moment: Moment) -> float:
    share, warmup = moment.share, recipe.warmup
    if share < warmup:
        return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - _cosine_fall(share / warmup))
    return _cosine_fall(_after(share, warmup))


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}
SCHEDULES: dict[str, Callable[[Recipe, Moment], float]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
}
Entry = TypeVar("Entry")


def _named(registry: dict[str, Entry], name: str, key: str) -> Entry:
    if name not in registry:
        raise InputError(f"{key}: {name!r} is none of {', '.join(registry)}{did_you_mean(name, list(registry))}")
    return registry[name]
