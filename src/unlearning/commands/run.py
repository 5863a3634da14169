"""Run what has changed, as `dvc repro` does, and say how far it is.

At the start of each stage a line tells its number and the time left, from what the stages took here before under the
same parameters: "about" where each was timed, "roughly" where it is as long as others of its kind, "at least" where
nothing is known of some. The results are those of `dvc repro`, which takes the same words.

examples:
  unlearning run
  unlearning run evaluate@ec                 this stage, and what it needs
  unlearning run -- --force train@original   options of `dvc repro` stand behind two dashes
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="word", help="arguments of `dvc repro`")


def run(options: argparse.Namespace) -> None:
    from unlearning.reproduce import reproduce

    reproduce(options.words)
