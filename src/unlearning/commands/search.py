"""Choose hyper-parameters without the test split.

Every method gets the same budget and ranges (block `search` of params.yaml). Trials are kept, so an interrupted search
goes on where it was; the values that it chose are printed, to be copied into params.yaml.

examples:
  unlearning search cu
  unlearning search ec duck
  unlearning search all        every method but the controls
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("methods", nargs="+", metavar="method", help="rows of `methods`, or all")


def run(options: argparse.Namespace) -> None:
    from unlearning.search import search_all

    for chosen in search_all(options.methods):
        print(chosen, flush=True)
