"""Unlearning methods: one file each, found by its name in `methods:` of params.yaml.

A method file has a class `Config(UnlearnRecipe)`, its block of params.yaml, and a generator `unlearn(run, cfg)` that
yields one loss per optimiser step (README, "Your own method"). It may have what `make search` varies beside lr and
epochs: `SEARCH = {"<parameter>": (lowest, highest)}`, floats on a logarithmic scale or whole numbers; and `SAMPLES =
True` where it can forget samples whose classes are kept, and not whole classes alone; and `refusals(model, cfg)`, what
is wrong with parameters that depend on the network, a line each, for `unlearning check`.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unlearning.engine.run import Run
from unlearning.errors import InputError, did_you_mean
from unlearning.params import Recipe, known_methods
from unlearning.params_file import PARAMS, load_block


def method_config(name: str, path: Path = PARAMS) -> Recipe:
    """Return the checked parameters of a method; raises InputError naming a wrong key or an unknown method."""
    config: Recipe = load_block(_module(name).Config, name, path)
    return config


def method_program(name: str) -> Callable[[Run, Any], Iterator[Tensor]]:
    """Return the method's `unlearn`; raises InputError for an unknown method."""
    program: Callable[[Run, Any], Iterator[Tensor]] = _module(name).unlearn
    return program


def method_search(name: str) -> dict[str, tuple[float, float] | tuple[int, int]]:
    """Return what `make search` varies beside lr and epochs, {parameter: (lowest, highest)}: the method's SEARCH."""
    return getattr(_module(name), "SEARCH", {})


def forgets_samples(name: str) -> bool:
    """Return whether a method can forget samples whose classes are kept."""
    return bool(getattr(_module(name), "SAMPLES", False))


def method_refusals(name: str, model: nn.Module, config: Recipe) -> list[str]:
    """Return "key: what is wrong" where a method's parameters do not fit the network: its file's `refusals`, if any."""
    find: Callable[[nn.Module, Any], list[str]] = getattr(_module(name), "refusals", lambda *_: [])
    return find(model, config)


def refuse_classes_alone(names: Iterable[str]) -> None:
    """Raise InputError naming the methods that can forget whole classes only, where samples are to be forgotten."""
    unfit = [name for name in names if not forgets_samples(name)]
    if unfit:
        more = f" (and {len(unfit) - 3} more)" if len(unfit) > 3 else ""
        raise InputError(
            f"methods: {', '.join(unfit[:3])}{more} erase whole classes only, forget.scenario: samples keeps them; "
            f"take their rows out; there are {', '.join(filter(forgets_samples, known_methods()))}"
        )


def _module(name: str) -> Any:
    if name not in known_methods():
        hint = did_you_mean(name, known_methods())
        raise InputError(f"methods: there is no src/unlearning/methods/{name}.py{hint}; write it or drop the name")
    return importlib.import_module(f"{__name__}.{name}")
