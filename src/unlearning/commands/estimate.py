"""Say how long the trainings ahead will take.

Needs data/split and the original model: `dvc repro train@original` makes them, or takes yours. For each method the
first steps are run on a copy and thrown away.

examples:
  unlearning estimate
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001
    pass


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    from unlearning.estimate import estimate

    for line in estimate():
        print(line, flush=True)
