"""Put the tables of the last run into README.md.

examples:
  unlearning readme      after `dvc repro`
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001
    pass


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    from unlearning.figures.readme import main

    main()
