"""Write the values of a scenario into params.yaml, comments kept.

A scenario, scenarios/<name>.yaml, holds only the values that differ from the default. `git checkout params.yaml` goes
back, and what was computed there is not computed again.

examples:
  unlearning scenario                           the names of the scenarios there are
  unlearning scenario cifar100_random10_small
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="of a file in scenarios/, without .yaml; without one, lists them")


def run(options: argparse.Namespace) -> None:
    from unlearning.params_file import PARAMS
    from unlearning.scenario import apply_scenario, known_scenarios, scenario_file

    if options.name is None:
        print("\n".join(known_scenarios()))
        return
    changed = apply_scenario(scenario_file(options.name), PARAMS)
    print("\n".join(changed) or "params.yaml holds these values already")
