"""Copy report, numbers and figures into a folder that git keeps.

examples:
  unlearning publish results/digits      after `dvc repro`
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="where to; what an earlier run left there is replaced")


def run(options: argparse.Namespace) -> None:
    from unlearning.publish import publish

    print("\n".join(map(str, publish(options.folder))))
