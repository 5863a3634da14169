"""Run a study, a named list of experiments, through DVC's queue.

A study, studies/<name>.yaml, says what it asks and what each of its experiments changes in params.yaml. They run in
copies of the workspace; what has run, or what they share, comes from DVC's cache. `unlearning gather` makes the table.

examples:
  unlearning study                      the names of the studies there are
  unlearning study ablation
  unlearning study ablation --jobs 2    two experiments at once
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="of a file in studies/, without .yaml; without one, lists them")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at once (default: 1)")


def run(options: argparse.Namespace) -> None:
    from unlearning.studies.queue import run_study
    from unlearning.studies.study import known_studies

    for line in known_studies() if options.name is None else run_study(options.name, options.jobs):
        print(line, flush=True)
