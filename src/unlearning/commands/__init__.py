"""`unlearning <command>`: a file a command, found by its name; its docstring is its help.

Each has `arguments(parser)`, what can be given, and `run(options)`. They are glue as the stages are, and import what
they call only when they run, so that `--help` is quick.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from functools import partial

from unlearning.errors import run_stage

DESCRIPTION = "Erase classes from an image classifier, and measure how deep. `dvc repro` runs the pipeline."


def main(given: Sequence[str] | None = None) -> None:
    """Run the command that the command line names; given: its words, instead of sys.argv."""
    options = parser().parse_args(given)
    run_stage(partial(options.run, options))


def run_command(name: str) -> None:
    """Run one command with the words of the command line: what `python -m unlearning.<name>` does."""
    main([name, *sys.argv[1:]])


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    every = argparse.ArgumentParser(prog="unlearning", description=DESCRIPTION)
    commands = every.add_subparsers(metavar="command", required=True)
    for name in known_commands():
        module = importlib.import_module(f"{__name__}.{name}")
        text = module.__doc__ or ""
        one = commands.add_parser(
            name,
            help=text.splitlines()[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(one)
        one.set_defaults(run=module.run)
    return every


def known_commands() -> list[str]:
    """Return the names of the files beside this one, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
