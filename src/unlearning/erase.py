"""Erase with one method, from your own model and without retraining: `make erase METHOD=ec`.

`unlearning erase ec` writes into params.yaml what that means, comments kept: one seed, no retrained model,
the one method. Data, classes, model and checkpoint are yours to give before (`docs/erase.md`);
`git checkout params.yaml` goes back.
"""

from typing import Any

from unlearning.errors import InputError, did_you_mean
from unlearning.params import KNOWS, Params


def values_of(method: str, params: Params) -> dict[str, Any]:
    """Return the values of params.yaml to erase with a method; raises InputError when it is no row of `methods`."""
    if method not in params.methods:
        hint = did_you_mean(method, list(params.methods))
        raise InputError(f"erase: {method!r} is none of methods: {', '.join(params.methods)}{hint}")
    return {
        "seeds": params.seeds[:1],
        "references": {name: {"knows": KNOWS[name]} for name in params.references if name != "retrained"},
        "methods": {method: {"start": params.methods[method].start}},
        "headline": method,
        "figures": {"models": [method]},
    }


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("erase")
