"""Say how far two published runs agree.

A Markdown table, for runs of the same parameters: for each number its standard deviation over the seeds, its change
between the runs, how many cells differ by less than twice their pooled deviation, and Kendall's tau of the methods'
order.

examples:
  unlearning stability results/one results/other
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("one", type=Path, help="a folder that `unlearning publish` wrote")
    parser.add_argument("other", type=Path, help="another, made on another machine or number of threads")


def run(options: argparse.Namespace) -> None:
    from unlearning.stability import read_run, stability_table

    print(stability_table(read_run(options.one), read_run(options.other)))
