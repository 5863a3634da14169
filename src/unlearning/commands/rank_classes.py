"""Write the classes that the original predicts most often for a downstream set, as a list of classes to forget.

The request by nearness to a task (the paper's Top-100 scenarios). Needs data/split and the original model, which do not
depend on what is to be forgotten: `dvc repro train@original` makes them under any request.

examples:
  unlearning rank_classes cub --count 100 --to top100_cub.txt
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", help="name of an entry of `downstream:`; all its images are looked at")
    parser.add_argument("--count", type=int, required=True, help="classes, most frequent first")
    parser.add_argument("--to", type=Path, required=True, help="file to write, which `forget.file` can name")


def run(options: argparse.Namespace) -> None:
    from unlearning.rank_classes import rank_classes

    print(rank_classes(options.set, options.count, options.to))
