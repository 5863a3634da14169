"""Errors that are the user's to mend: one clear sentence, exit code 1, no traceback; and signals, code 128 + number."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from types import TracebackType

INTERRUPTED = 130  # exit code after Ctrl-C, as a shell gives it
LONGEST_FAULT = 180  # characters of one fault of a file; with "error: params.yaml: " before it, 200
ROOM = 450  # characters of several faults in one message
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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


class Stopped(KeyboardInterrupt):
    """Work ends because it was asked to; the message says what is saved."""

    def __init__(self, number: int, said: str = "") -> None:
        """number: the signal by which it was asked."""
        super().__init__(said)
        self.number = number


def exit_code(interrupt: BaseException) -> int:
    """Return the exit code that a shell gives to what ends so."""
    return 128 + interrupt.number if isinstance(interrupt, Stopped) else INTERRUPTED


def same_command() -> str:
    """Return how to go on after a stop."""
    return "the same command goes on"


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
        sys.stdout.flush()  # here its failure is one line, at the interpreter's end it would be several
    except InputError as error:
        _say("\n".join(f"error: {line}" for line in error.lines))
        raise SystemExit(1) from None
    except PermissionError as error:
        _say(f"error: {brief(str(error), LONGEST)}")
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f" to {os.fsdecode(error.filename)}" if error.filename else ""
        _say(f"error: cannot write{where} ({error.strerror}); make room, then {same_command()}")
        _drop_what_is_not_printed()
        raise SystemExit(1) from None
    except KeyboardInterrupt as interrupt:
        _say(interruption(interrupt))
        raise SystemExit(exit_code(interrupt)) from None


def interruption(interrupt: BaseException) -> str:
    """Return the line that is printed after Ctrl-C or another signal; what raised it may have said what is saved."""
    said, how = str(interrupt), "interrupted"
    if isinstance(interrupt, Stopped) and interrupt.number != signal.SIGINT:
        how = f"stopped by {signal.Signals(interrupt.number).name}"
    return f"{how}{': ' if said else ''}{said}; {same_command()}"


def say_if_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Stand in for `sys.excepthook`: a stop is one line and ends the process, anything else is what it was."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _say(interruption(error))
    os._exit(exit_code(error))  # the interpreter would end by the signal or with 1, by where it was


def _drop_what_is_not_printed() -> None:
    with suppress(OSError):  # standard output may be what has no room
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal may have gone
        print(line, file=sys.stderr, flush=True)
