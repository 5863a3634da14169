"""How every script of stages/ runs: alone on its outputs, ended by a signal in one line, and silent once outdated.

Outdated is a stage whose parameters or inputs are others by now, or whose DVC has gone: what it would write might
replace newer files. It stops with one line; what it has finished is kept in .scratch.
"""

import fcntl
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from ruamel.yaml.error import YAMLError

from unlearning import errors
from unlearning.errors import InputError, Stopped, and_more, brief, same_command
from unlearning.files import BEFORE_REPLACING, leftovers
from unlearning.params_file import PARAMS
from unlearning.processes import Process, first_of_all, rank, starter, this_process
from unlearning.stopping import ask, heeded
from unlearning.yaml_text import as_dvc_reads

SCRATCH, LOCKS, PIPELINE = Path(".scratch"), Path(".scratch/locks"), Path("dvc.yaml")
WRITTEN_INTO = (Path("models"), Path("metrics"), Path("plots"), Path("data/split"), Path("data/inputs"), SCRATCH)
DATA = ("data/", "models/", "metrics/", "plots/")  # dependencies that are no code
LOOK_EVERY = 0.5  # seconds between looks at whether DVC is there
WAIT = 10.0  # seconds that a stage whose DVC has gone has to end
GONE = "DVC, which started it, has gone"
ABSENT = "absent"
LOST = re.compile("gloo|NCCL|Dist[A-Za-z]*Error|Connection (closed|reset) by peer|Broken pipe")  # of another process


def run_stage(main: Callable[[], None]) -> None:
    """Run the main function of a stage; what is the user's to mend is one line and code 1, a signal code 128 + n."""
    errors.run_stage(partial(_run, this_stage(), main))


def _run(stage: "Stage", main: Callable[[], None]) -> None:
    try:
        with heeded(), alone(stage):
            before(stage)
            main()
    except RuntimeError as error:
        if rank() is None or not LOST.search(f"{type(error).__name__}: {error}"):
            raise
        raise InputError(
            f"rank {rank()}: another process of {stage.name} has gone ({brief(str(error), 200)}); why is in its own "
            f"output, or it was killed (memory?); {same_command()}"
        ) from None
    except InputError as error:
        if not rank():
            raise
        raise InputError(f"rank {rank()}: {error}") from None
    except KeyboardInterrupt as stop:
        said = str(stop)
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        raise Stopped(number, said if said not in ("", GONE) else f"{stage.name}{said and ': '}{said}") from None
    finally:
        BEFORE_REPLACING.clear()


def before(stage: "Stage") -> None:
    """Do what comes ahead of a stage's own work."""
    if first_of_all():
        sweep()
    guard = Guard(stage, starter())
    BEFORE_REPLACING.append(guard.refuse_if_outdated)
    guard.watch()


@dataclass(frozen=True)
class Stage:
    """One run of a script of stages/ with its arguments."""

    script: str  # without .py
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name DVC has for it, but evaluate@ and transfer@ for all kinds of rows."""
        words = [word for word in (self.model, self.data_set) if word]
        return f"{self.script}@{'-'.join(words)}" if words else self.script

    @property
    def model(self) -> str:
        """What stands behind the script: a model, a method, a number."""
        return self.arguments[0] if self.arguments else ""

    @property
    def data_set(self) -> str:
        """The data set of a transfer."""
        return next(
            (value for key, value in zip(self.arguments, self.arguments[1:], strict=False) if key == "--name"), ""
        )


def this_stage() -> Stage:
    """Return the stage that this process was started as."""
    return Stage(Path(sys.argv[0]).stem, tuple(sys.argv[1:]))


def sweep() -> None:
    """Remove the temporary files that dead processes have left where stages write."""
    found = [path for folder in WRITTEN_INTO for path in leftovers(folder)]
    for folder in (Path(), Path("data")):
        found += leftovers(folder, deep=False)
    for path in found:
        with suppress(OSError):
            path.unlink()


# ---- one run at a time -----------------------------------------------------------------------------------------------


@contextmanager
def alone(stage: Stage) -> Iterator[None]:
    """Hold the lock of a stage in this clone; of several processes of it the first alone does.

    Raises InputError where another process holds it. The lock dies with its process.
    """
    if not first_of_all():
        yield
        return
    path = LOCKS / f"{re.sub(r'[^A-Za-z0-9_.@-]', '_', stage.name)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file, stage)
        os.register_at_fork(after_in_child=partial(_let_go, file))
        with suppress(OSError):  # no more than what is told to the second
            _say_who(file)
        yield


def _take(file: IO[str], stage: Stage) -> None:
    deadline = time.monotonic() + WAIT
    while not _taken(file):
        holder = _holder(file)
        by = holder.get("starter")
        if by is None or Process(*by).lives or time.monotonic() > deadline:
            pid, since = holder.get("pid", "unknown"), holder.get("since", "a while")
            raise InputError(
                f"{stage.name} runs already in this folder: process {pid}, since {since}; wait for it, or end it by "
                f"`kill {pid}`, which saves what it has"
            )
        time.sleep(0.1)


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _say_who(file: IO[str]) -> None:
    own, by = this_process(), starter()
    file.seek(0)
    file.truncate()
    told = {"pid": own.pid, "since": time.strftime("%Y-%m-%d %H:%M:%S"), "starter": by and [by.pid, by.born]}
    file.write(json.dumps(told))
    file.flush()


def _holder(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    with suppress(ValueError):
        told = json.loads(file.read())
        return told if isinstance(told, dict) else {}
    return {}


def _let_go(file: IO[str]) -> None:
    """In a forked worker, which may outlive the process that holds the lock."""
    with suppress(OSError):
        file.close()


# ---- silent once outdated --------------------------------------------------------------------------------------------


@dataclass
class Guard:
    """What a stage depends on, as it was when it started, and who started it."""

    stage: Stage
    by: Process | None
    entry: dict[str, Any] = field(init=False)  # of dvc.yaml
    values: dict[str, Any] = field(init=False)
    inputs: dict[str, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        values = _values()
        self.entry = entry_of(self.stage, values)
        self.values = chosen(values, self.entry)
        self.inputs = prints(self.entry)

    def watch(self) -> None:
        """Ask this process to stop once its DVC has gone."""
        if self.by is not None:
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while self.by is not None and self.by.lives:
            time.sleep(LOOK_EVERY)
        ask(GONE)

    def refuse_if_outdated(self, path: Path) -> None:
        """Raise before an output is written by a stage that is outdated: InputError, or Stopped where DVC has gone."""
        if path.parts[:1] == SCRATCH.parts:
            return
        if self.by is not None and not self.by.lives:
            raise Stopped(signal.SIGTERM, GONE)
        changed = self.changed()
        if changed:
            raise InputError(
                f"{self.stage.name}: {and_more(changed)} changed while it ran, and {path} would be of the old; nothing "
                "is written, what is finished is kept in .scratch; run it again"
            )

    def changed(self) -> list[str]:
        """Return the parameters and the input files that are no longer what they were."""
        now = chosen(_values(), self.entry)
        keys = [f"{key} of params.yaml" for key in self.values if now[key] != self.values[key]]
        files = prints(self.entry)
        return keys + sorted(name for name in {*files, *self.inputs} if files.get(name) != self.inputs.get(name))


def entry_of(stage: Stage, values: dict[str, Any]) -> dict[str, Any]:
    """Return what dvc.yaml says of a stage, {"params": [key], "deps": [path]}; nothing where it does not know it.

    Of several entries with one script any: their parameters and dependencies are the same.
    """
    text = PIPELINE.read_text(encoding="utf-8") if PIPELINE.is_file() else ""
    if f"stages/{stage.script}.py" not in text:
        return {"params": [], "deps": []}
    stages = as_dvc_reads(text).get("stages", {}).values()
    for written in stages:
        one = written.get("do", written)
        if f"stages/{stage.script}.py" in one.get("cmd", ""):
            names = names_of(stage, written, values)
            return {kind: [filled(str(each), names) for each in one.get(kind, [])] for kind in ("params", "deps")}
    return {"params": [], "deps": []}


def names_of(stage: Stage, written: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return what stands for ${key} and ${item...} in an entry of dvc.yaml."""
    each = str(written.get("foreach", "")).strip("${}")
    rows = values.get(each)
    row = rows.get(stage.model) if isinstance(rows, dict) else None
    own = row if isinstance(row, dict) else {}
    return {"key": stage.model, "item": {"model": stage.model, "set": {"name": stage.data_set}, **own}}


def filled(text: str, names: dict[str, Any]) -> str:
    """Return a text with each ${name.of.something} replaced; what is not known stays."""
    return re.sub(r"\$\{([\w.]+)\}", lambda found: str(at(names, found[1], found[0])), text)


def at(values: Any, key: str, absent: Any = ABSENT) -> Any:
    """Return the value at a dotted key of nested mappings."""
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return absent
        values = values[part]
    return values


def chosen(values: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return {key: value} of the parameters that an entry of dvc.yaml names."""
    return {key: at(values, key) for key in entry["params"]}


def prints(entry: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return {file: (bytes, time of change)} of the files that an entry depends on, code and hidden files left out."""
    found: dict[str, tuple[int, int]] = {}
    for dep in entry["deps"]:
        for file in _files_at(Path(dep)) if dep.startswith(DATA) else ():
            with suppress(OSError):
                looked = file.stat()
                found[str(file)] = (looked.st_size, looked.st_mtime_ns)
    return found


def _files_at(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for inside, _, names in os.walk(path):
        yield from (Path(inside, name) for name in names if not name.startswith("."))


def _values() -> dict[str, Any]:
    """Return what params.yaml holds to DVC; nothing where it cannot be read, which the stage itself will say."""
    with suppress(OSError, UnicodeDecodeError, YAMLError):
        values = as_dvc_reads(PARAMS.read_text(encoding="utf-8"))
        return values if isinstance(values, dict) else {}
    return {}
