"""Errors that are the user's to mend: one clear sentence, exit code 1, no traceback; and Ctrl-C, exit code 130."""

import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from types import TracebackType

INTERRUPTED = 130  # exit code after Ctrl-C, as a shell gives it
LONGEST = 1000  # characters of a message that ends a stage: it may hold a command with a long path, useless if cut


class InputError(Exception):
    """Something given from outside is wrong; the message names it, says what was expected and what to do."""


class Diverged(InputError):
    """A loss stopped being finite."""


def did_you_mean(word: str, known: list[str]) -> str:
    """Return " (did you mean 'x'?)" for the nearest known word, or an empty string."""
    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def and_more(names: list[str]) -> str:
    """Return the first of some names and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def brief(text: str, longest: int = 500) -> str:
    """Return a text as one line of at most `longest` characters."""
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= longest else f"{line[: longest - 4]} ..."


def run_stage(main: Callable[[], None]) -> None:
    """Run the main function of a stage or command; an InputError is one line on stderr and code 1, Ctrl-C 130."""
    try:
        main()
    except (InputError, PermissionError) as error:
        print(f"error: {brief(str(error), LONGEST)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as interrupt:
        print(interruption(interrupt), file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def interruption(interrupt: BaseException) -> str:
    """Return the line that is printed after Ctrl-C; what raised it may have said what is saved."""
    said = str(interrupt)
    return f"interrupted{': ' if said else ''}{said}; the same command goes on"


def say_if_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Stand in for `sys.excepthook`: Ctrl-C is one line and ends the process, anything else is what it was."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(interruption(error), file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)  # the interpreter would end by the signal or with 1, by where it was
