"""Run a stage that is killed: python killing.py WHEN SCRIPT ARGUMENTS, where WHEN is one of

count        not at all: the number of its writes is put into the file `writes`
write:N:MS   MS milliseconds after its N-th write begins, from 1: a file is opened to be written, renamed or removed
time:MS      MS milliseconds after its beginning
"""

import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


def kill_in(milliseconds: float) -> None:
    """Let a process of its own kill this one: at any moment, whatever holds the interpreter's lock."""
    victim = os.getpid()
    if os.fork() == 0:
        time.sleep(milliseconds / 1000)
        os.kill(victim, signal.SIGKILL)
        os._exit(0)


class Writes:
    """Counts the writes of this process, as an audit hook, and kills it in one of them."""

    def __init__(self, fatal: int = 0, milliseconds: float = 0.0) -> None:
        self.count, self.fatal, self.milliseconds = 0, fatal, milliseconds
        self.process = os.getpid()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (opened or event in WRITES) or os.getpid() != self.process:
            return
        self.count += 1
        if self.count == self.fatal:
            if self.milliseconds:
                kill_in(self.milliseconds)
            else:
                os.kill(self.process, signal.SIGKILL)


def main() -> None:
    when, *sys.argv = sys.argv[1:]
    kind, *numbers = when.split(":")
    writes = Writes()
    if kind == "time":
        kill_in(float(numbers[0]))
    else:
        writes = Writes(*map(int, numbers))
        sys.addaudithook(writes)
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        if kind == "count":
            Path("writes").write_text(str(writes.count))


if __name__ == "__main__":
    main()
