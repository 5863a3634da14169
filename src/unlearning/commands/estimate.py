"""Say how long each stage of params.yaml will take, what it computes, and what it leaves on disk.

Nothing needs to have run: the first steps of each are tried on noise in the shape of the images, in a minute or two.

examples:
  unlearning estimate
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001
    pass


def run(options: argparse.Namespace) -> None:  # noqa: ARG001
    from unlearning.estimating.ahead import estimate

    for line in estimate():
        print(line, flush=True)
