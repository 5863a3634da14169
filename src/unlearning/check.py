"""Check all of params.yaml, each method's block included, before any stage runs: `python -m unlearning.check`."""

from unlearning.errors import run_stage
from unlearning.methods import method_config
from unlearning.params import load_params


def main() -> None:
    for name in load_params().methods:
        method_config(name)


if __name__ == "__main__":
    run_stage(main)
