"""Set params.yaml for erasing by one method from your model.

One seed, no retrained model, the one method. Data, classes, model and checkpoint are yours to give before
(docs/erase.md). `make erase METHOD=ec` calls this, then checks, forecasts and runs.

examples:
  unlearning erase ec
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help="its name: a block of params.yaml with its parameters")


def run(options: argparse.Namespace) -> None:
    from unlearning.erase import values_of
    from unlearning.params_file import PARAMS, load_params
    from unlearning.scenario import write_values

    changed = write_values(values_of(options.method, load_params()), f"erase {options.method}", PARAMS)
    print("\n".join(changed) or "params.yaml holds these values already")
