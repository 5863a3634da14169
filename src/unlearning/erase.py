"""Erase with one method, from your own model and without retraining: `make erase METHOD=ec`.

`unlearning erase ec` writes into params.yaml what that means, comments kept: one seed, no retrained model, the one
method, which may be another one the next time. Data, classes, model and checkpoint are yours to give before
(`docs/erase.md`).
"""

from typing import Any

from unlearning.errors import InputError, did_you_mean
from unlearning.methods import method_config
from unlearning.methods.families.points import EveryPoint
from unlearning.params import KNOWS, Params, known_methods


def values_of(method: str, params: Params) -> dict[str, Any]:
    """Return the values of params.yaml to erase with a method; raises InputError when there is no such method."""
    if method not in known_methods():
        hint = did_you_mean(method, known_methods())
        raise InputError(f"erase: {method!r} is none of the methods {', '.join(known_methods())}{hint}")
    return {
        "seeds": params.seeds[:1],
        "references": {name: {"knows": KNOWS[name]} for name in params.references if name != "retrained"},
        "methods": {method: {"start": start_of(method, params)}},
        "headline": method,
        "figures": {"models": [method]},
    }


def start_of(method: str, params: Params) -> str:
    """Return what a method starts from, as its row in `methods` says; raises InputError when its block is missing.

    Where erasing by another method has taken its row away: from EC modules if it works through them.
    """
    if method in params.methods:
        return params.methods[method].start
    config = method_config(method)
    return "ec_modules" if isinstance(config, EveryPoint) and config.modules else "original"


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("erase")
