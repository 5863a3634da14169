"""Check all of params.yaml, each method's block included, before any stage runs: `python -m unlearning.check`."""

from pathlib import Path

from unlearning.errors import run_stage
from unlearning.methods import method_config
from unlearning.params_file import PARAMS, load_params


def main() -> None:
    check(PARAMS)


def check(path: Path) -> None:
    """Raise InputError naming the key of every unknown, missing or wrong value of a parameter file."""
    for name in load_params(path).methods:
        method_config(name, path)


if __name__ == "__main__":
    run_stage(main)
