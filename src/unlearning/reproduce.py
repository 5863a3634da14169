"""`dvc repro` that says at each stage how far it is, and of Ctrl-C in one line: `unlearning run`.

DVC runs in this process as it does in its own; what it logs tells which stage starts and which is skipped. No stage and
no result knows of it, and where no forecast can be made the run goes on without.
"""

import logging
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from unlearning.errors import Stopped
from unlearning.forecast import Forecast, key_of, known_times, readable
from unlearning.params_file import load_values
from unlearning.processes import on_request_to_end, pass_down

RUNS, STARTS = "dvc.stage.run", "Running stage '%s':"  # the logger and the message by which DVC says that one starts
ALL_DEPEND_ON = ("seeds", "precision", "data", "forget", "model")  # blocks that tell how much there is to compute
FORCE = {"-f", "--force"}  # options of `dvc repro`
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = {f"exited with {code}": 128 + one for one in SIGNALS for code in (128 + one, -one)}  # so DVC says of a stage


def reproduce(arguments: list[str]) -> None:
    """Run `dvc repro` with these arguments; raises SystemExit with its exit code, KeyboardInterrupt after Ctrl-C.

    SIGTERM and SIGHUP are passed on to the stage that runs, which saves what it has; DVC then lets go of its locks.
    """
    import dvc.cli
    import dvc.repo.reproduce

    teller, interrupts = Teller(forced=not FORCE.isdisjoint(arguments)), Interrupts()
    teller.listen_to(dvc.repo.reproduce)
    logging.getLogger("dvc.stage").addHandler(teller)
    logging.getLogger("dvc.cli").addFilter(interrupts)
    on_request_to_end(pass_on)
    code = dvc.cli.main(["repro", *arguments])
    if interrupts.of_dvc:
        raise interrupts.of_dvc
    if interrupts.of_stage:  # which has said so
        raise SystemExit(interrupts.of_stage)
    if code:
        raise SystemExit(code)
    teller.end()


def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Send a signal to the stage that runs; where there is none, end here."""
    if not pass_down(number):
        raise Stopped(number)


class Teller(logging.Handler):
    """Hears what DVC logs of its stages; says at the start of each how far the run is, and notes what each took."""

    def __init__(self, forced: bool) -> None:
        """forced: whether what has not changed runs too."""
        super().__init__()
        self.forced = forced
        self.steps: list[Any] = []  # DVC's stages in the order in which it looks at them
        self.graph: Any = None
        self.forecast: Forecast | None = None
        self.current: tuple[str, float] | None = None  # stage, and when it started
        self.count, self.began = 0, time.monotonic()

    def listen_to(self, reproducing: Any) -> None:
        """Note the plan that DVC makes, in whatever way it was called."""
        plan = reproducing.plan_repro

        def noted(graph: Any, *arguments: Any, **named: Any) -> Any:
            self.graph, self.steps = graph, plan(graph, *arguments, **named)
            return self.steps

        reproducing.plan_repro = noted

    def emit(self, record: logging.LogRecord) -> None:
        starts = record.msg == STARTS
        if record.name == RUNS and not starts:  # the command of the stage that has just started
            return
        with suppress(Exception):  # a forecast is no reason to end a run
            self.finish()
            if starts and isinstance(record.args, tuple):
                self.start(str(record.args[0]))

    def start(self, name: str) -> None:
        if any(stage.always_changed for stage in self.steps if stage.addressing == name):
            return  # `inputs`: what it finds decides what else runs
        self.count, self.current = self.count + 1, (name, time.monotonic())
        if self.forecast is None:
            self.forecast = Forecast(self.planned(name), known_times())
        print(self.forecast.line(name), file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Note what the stage that ran until now has taken, DVC's own work with its outputs included."""
        if self.current and self.forecast:
            name, began = self.current
            self.forecast.note(name, time.monotonic() - began)
        self.current = None

    def end(self) -> None:
        """Say in the end how many stages ran, if any."""
        self.finish()
        if self.count:
            stages = f"{self.count} stage{'s' if self.count > 1 else ''}"
            print(f"{stages} run in {readable(time.monotonic() - self.began)}", file=sys.stderr)

    def planned(self, first: str) -> dict[str, str]:
        """Return {stage: hash of its parameters} of `first` and of those behind it that have changed or may change."""
        names = [stage.addressing for stage in self.steps]
        begin = names.index(first)
        ahead = self.steps[begin:]
        shared = {key: value for key, value in load_values().items() if key in ALL_DEPEND_ON}
        will = [ahead[0]]
        for stage in ahead[1:]:
            if self.forced or any(one in will for one in self.graph.successors(stage)) or has_changed(stage):
                will.append(stage)
        return {stage.addressing: key_of(shared | parameters_of(stage)) for stage in will}


def has_changed(stage: Any) -> bool:
    """Return whether DVC would run a stage, as things are now; unlike its own method, without its lock."""
    return bool(stage.changed_stage() or any(one.status() for one in [*stage.deps, *stage.outs]))


def parameters_of(stage: Any) -> dict[str, Any]:
    """Return the values of params.yaml that a stage of DVC depends on."""
    found: dict[str, Any] = {}
    for one in stage.deps:
        if hasattr(one, "read_params"):
            found |= one.read_params()
    return found


class Interrupts(logging.Filter):
    """Takes out what DVC logs of Ctrl-C or another signal, several lines, and remembers that it was."""

    def __init__(self) -> None:
        super().__init__()
        self.of_dvc: KeyboardInterrupt | None = None
        self.of_stage = 0  # its exit code

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, KeyboardInterrupt):
            self.of_dvc = error
        said = str(error.__cause__) if error is not None else ""
        self.of_stage = next((code for end, code in STOPPED.items() if said.endswith(end)), self.of_stage)
        return not (self.of_dvc or self.of_stage)
