"""Optimisers and learning-rate schedules, by their names in params.yaml."""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn

from unlearning.errors import InputError, did_you_mean
from unlearning.params import Recipe

STEP_DECAY = {0.5: 0.1, 0.75: 0.01}  # share of the run: factor (UUEF: milestones 91 and 136 of 182 epochs)
ONE_CYCLE_START = 0.04  # of the peak, as in torch's OneCycleLR


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser named by `recipe.optimizer`; raises InputError for an unknown one."""
    return _named(OPTIMIZERS, recipe.optimizer, "optimizer")(list(parameters), recipe)


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Return the learning rate at `progress` in 0..1 of the run, by `recipe.schedule` with its warm-up.

    Pure in `progress`, so a resumed run needs no scheduler state.
    """
    return recipe.lr * _named(SCHEDULES, recipe.schedule, "schedule")(progress, recipe.warmup)


def _sgd(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _adam(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, recipe.lr, weight_decay=recipe.weight_decay)


def _adamw(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay)


def _ramp(progress: float, warmup: float) -> float:
    return min(1.0, progress / warmup) if warmup else 1.0


def _after(progress: float, warmup: float) -> float:
    return max(0.0, progress - warmup) / (1 - warmup)


def _cosine_fall(share: float) -> float:
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _constant(progress: float, warmup: float) -> float:
    return _ramp(progress, warmup)


def _step(progress: float, warmup: float) -> float:
    passed = [factor for share, factor in STEP_DECAY.items() if progress >= share]
    return _ramp(progress, warmup) * min([1.0, *passed])


def _cosine(progress: float, warmup: float) -> float:
    return _ramp(progress, warmup) * _cosine_fall(_after(progress, warmup))


def _one_cycle(progress: float, warmup: float) -> float:
    if progress < warmup:
        return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - _cosine_fall(progress / warmup))
    return _cosine_fall(_after(progress, warmup))


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}
SCHEDULES: dict[str, Callable[[float, float], float]] = {
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
