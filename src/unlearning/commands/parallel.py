"""Run what has changed, several stages at once, each on a GPU of its own.

A stage starts as soon as what it depends on is there and a slot is free. One that fails stops none but those behind it,
and is named in the end; its output is in .scratch/parallel. Without a GPU the slots share the processor's cores; with
other threads the numbers are rounded otherwise (docs/stability.md).

examples:
  unlearning parallel --slots 4
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--slots", type=int, required=True, help="stages at once, such as the number of GPUs")


def run(options: argparse.Namespace) -> None:
    from unlearning.errors import InputError
    from unlearning.parallel import end, parallel
    from unlearning.processes import on_request_to_end

    if options.slots < 1:
        raise InputError(f"--slots {options.slots}: one at least was expected")
    on_request_to_end(end)  # Ctrl-C reaches all of them anyway
    for line in parallel(options.slots):
        print(line, flush=True)
