"""Which settings a search tries: the values in use, then a step away from the best so far, again and again.

Where all steps from the best have been tried, a sampler asks.
"""

import optuna

from unlearning.methods import method_search
from unlearning.params import Recipe, Search

STEP = 3.0  # of a number on a logarithmic scale: by this factor up and down
Values = dict[str, float | int]
Ranges = dict[str, tuple[float, float] | tuple[int, int]]


def ranges(name: str, config: Recipe, space: Search) -> Ranges:
    """Return {parameter: (lowest, highest)} for lr and epochs by the block `search`, and what the method's file names.

    The value in use always lies within, so a search never ends below it: ten passes over a few images to forget can
    cost less than one over all others.
    """
    bounds: Ranges = {"lr": (space.lr_min, space.lr_max), "epochs": (1, space.epochs_max), **method_search(name)}
    used = in_use(config, bounds)
    return {key: (min(low, used[key]), max(high, used[key])) for key, (low, high) in bounds.items()}


def in_use(config: Recipe, bounds: Ranges) -> Values:
    """Return the values of what is searched that a method has now."""
    return {key: getattr(config, key) for key in bounds}


def star(centre: Values, bounds: Ranges) -> list[Values]:
    """Return a setting, then those that differ from it in one number, by a step up or down.

    A step is `STEP` times for what is searched on a logarithmic scale, half and double for whole numbers; the learning
    rate first. A handful of draws from wide ranges would hardly ever fall beside a sensible value. What a range cuts to
    a setting that is there already is left out.
    """
    settings = [centre]
    for key, (low, high) in bounds.items():
        for neighbour in _beside(centre[key]):
            setting = centre | {key: min(max(neighbour, low), high)}
            if setting not in settings:
                settings.append(setting)
    return settings


def _beside(value: float | int) -> tuple[float | int, float | int]:
    if isinstance(value, int):
        return 2 * value, value // 2
    return _two_digits(STEP * value), _two_digits(value / STEP)


def suggest(trial: optuna.Trial, bounds: Ranges) -> Values:
    """Return the values to try; floats on a logarithmic scale, two digits."""
    values: Values = {}
    for key, (low, high) in bounds.items():
        if isinstance(low, int) and isinstance(high, int):
            values[key] = trial.suggest_int(key, low, high)
        else:
            values[key] = _two_digits(trial.suggest_float(key, low, high, log=True))
    return values


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
