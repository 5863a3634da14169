"""Errors that are the user's to mend: one clear sentence, exit code 1, no traceback; and Ctrl-C, exit code 130."""

import os
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from types import TracebackType

INTERRUPTED = 130  # exit code after Ctrl-C, as a shell gives it
LONGEST_FAULT = 180  # characters of one fault of a file; with "error: params.yaml: " before it, 200
ROOM = 450  # characters of several faults in one message
LONGEST = 1000  # characters of a message that ends a stage: it may hold a command with a long path, useless if cut


class InputError(Exception):
    """Something given from outside is wrong; the message names it, says what was expected and what to do."""

    @property
    def lines(self) -> list[str]:
        """What is printed: a line for each thing that is wrong."""
        return [brief(str(self), LONGEST)]


class Faults(InputError):
    """Several things in one file are wrong: each is a line of its own, the message as many of them as fit."""

    def __init__(self, file: str, faults: list[str]) -> None:
        """faults: each begins with a key or a line of the file; longer ones are cut."""
        self.file, self.faults = file, [brief(fault, LONGEST_FAULT) for fault in faults]
        super().__init__(brief(file + "; ".join(_fitting(self.faults, ROOM - len(file)))))

    @property
    def lines(self) -> list[str]:
        return [f"{self.file}{fault}" for fault in self.faults]


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


def _fitting(sentences: list[str], room: int) -> Iterator[str]:
    """Yield as many of the sentences as fit into so many characters, and how many more there are."""
    for number, sentence in enumerate(sentences):
        room -= len(sentence) + 2
        if number and room < 0:
            yield f"and {len(sentences) - number} more"
            return
        yield sentence


def run_stage(main: Callable[[], None]) -> None:
    """Run the main function of a stage or command; an InputError is one line on stderr and code 1, Ctrl-C 130."""
    try:
        main()
    except InputError as error:
        print(*(f"error: {line}" for line in error.lines), sep="\n", file=sys.stderr)
        raise SystemExit(1) from None
    except PermissionError as error:
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
