"""Gather experiments into one table, means and deviations over the seeds.

Reads what DVC keeps of experiments that have run on this commit: those of a study, or any by name, each with the row
that is its `headline`. Writes README.md and numbers.csv.

examples:
  unlearning gather ablation                        into results/ablation
  unlearning gather warm-up cosine --to results/schedules
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", help="of one study, or of experiments (`dvc exp list`)")
    parser.add_argument("--to", help="folder to write into (default, of a study: results/<study>)")


def run(options: argparse.Namespace) -> None:
    from pathlib import Path

    from unlearning.studies.gather import gather

    for file in gather(options.names, Path(options.to) if options.to else None):
        print(file)
