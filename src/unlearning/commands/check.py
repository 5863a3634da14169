"""Check all of params.yaml before any stage runs.

The values, each method's block included; then what would else end a run after hours: layers, files, folders, classes.

examples:
  unlearning check
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001
    pass


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    from unlearning.check import check_all

    check_all()
