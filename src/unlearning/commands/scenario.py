"""Write the values of a scenario into params.yaml, comments kept.

A scenario, scenarios/<name>.yaml, holds only the values that differ from the default. `git checkout params.yaml` goes
back, and what was computed there is not computed again. Every value that changes is printed, old and new, and every one
that stays other than committed. An edit of yours that is in no commit is overwritten only with --force.

examples:
  unlearning scenario                           the names of the scenarios there are
  unlearning scenario cifar100_random10_small
  unlearning scenario cifar100_random10_small --force    over edits of params.yaml that are in no commit
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="of a file in scenarios/, without .yaml; without one, lists them")
    parser.add_argument("--force", action="store_true", help="overwrite edits that are in no commit")


def run(options: argparse.Namespace) -> None:
    from unlearning.params_file import PARAMS
    from unlearning.scenario import apply_scenario, known_scenarios, remarks, scenario_file

    if options.name is None:
        print("\n".join(known_scenarios()))
        return
    scenario = scenario_file(options.name)
    changed = apply_scenario(scenario, PARAMS, options.force)
    print("\n".join([*(changed or ["params.yaml holds these values already"]), *remarks(scenario, PARAMS)]))
