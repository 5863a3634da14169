"""Stopping when asked to: by Ctrl-C, SIGTERM or SIGHUP, or because DVC, which started the stage, has gone.

A loop that listens ends its step, saves and stops; anything else is stopped where it is. Whatever happens, the process
has ended within ten seconds, which is what clusters give.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from unlearning.errors import Stopped, interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 5.0  # seconds that a loop has to come to the end of its step
LIMIT = 9.0  # seconds after which the process ends whatever it does
Handler = Callable[[int, FrameType | None], None]


@dataclass
class _Asked:
    """What this process has been asked."""

    number: int = 0  # the signal; 0 = to go on
    why: str = ""  # where it was no signal from outside
    listening: bool = False  # whether a loop looks at it after each step


_asked = _Asked()


def asked() -> int:
    """Return the signal by which this process has been asked to stop, or 0."""
    return _asked.number


def why() -> str:
    """Return why it was asked, where that was no signal from outside."""
    return _asked.why


def ask(reason: str) -> None:
    """Ask this process to stop as SIGTERM does; may be called in any thread."""
    _asked.why = reason
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def listening() -> Iterator[None]:
    """Say that a loop will look at `asked` after each step: a signal in between only tells it."""
    before, _asked.listening = _asked.listening, True
    try:
        yield
    finally:
        _asked.listening = before


@contextmanager
def heeded() -> Iterator[None]:
    """Heed the signals while the context lasts, those that whoever started this process has not turned off."""
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    wanted = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, _heed) for one in wanted} | {signal.SIGALRM: signal.signal(signal.SIGALRM, _end)}
    unraisable, sys.unraisablehook = sys.unraisablehook, _quiet_about_stops(sys.unraisablehook)
    _asked.number, _asked.why = 0, ""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    former = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(told, tuple(wanted)), daemon=True).start()
    os.register_at_fork(after_in_child=_leave_to_the_parent)
    ended_well = False
    try:
        yield
        ended_well = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if ended_well or not _asked.number:  # else the process ends, and further signals are to leave it alone
            for one, handler in before.items():
                signal.signal(one, handler)
            sys.unraisablehook = unraisable
            signal.set_wakeup_fd(former)
            os.close(tell)


def heed_early() -> None:
    """Let SIGTERM and SIGHUP end this process in one line, as Ctrl-C does, while it loads its libraries."""
    for one in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(one) is signal.SIG_DFL:
            signal.signal(one, _stop)


def _heed(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    if _asked.number:  # torchrun passes on what the terminal has sent already
        return
    _asked.number = number
    if not _asked.listening:
        raise Stopped(number, _asked.why)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise Stopped(number)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Stop where it is: the loop has not come to the end of its step."""
    raise Stopped(_asked.number, _asked.why)


def _end_in_time(told: int, signals: tuple[int, ...]) -> None:
    """End the process some time after a signal, whatever it does: Python tells a main thread in C of no signal."""
    asked_for, deadline = 0, 0.0
    while True:
        left = max(0.0, deadline - time.monotonic()) if asked_for else None
        if not select.select([told], [], [], left)[0]:
            break
        number = int.from_bytes(os.read(told, 1), "big")
        if not number:  # the other end is closed: no more is to be heeded
            os.close(told)
            return
        if not asked_for and number in signals:
            asked_for, deadline = number, time.monotonic() + LIMIT
    with suppress(OSError):
        print(interruption(Stopped(asked_for, "in the middle of a step")), file=sys.stderr, flush=True)
    os._exit(128 + asked_for)


def _leave_to_the_parent() -> None:
    """In a worker process of a loader: its parent ends it."""
    if signal.getsignal(signal.SIGTERM) is _heed:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)


def _quiet_about_stops(hook: Callable[..., object]) -> Callable[..., object]:
    """Say nothing of a stop raised where no exception can go on, as while an object is taken apart."""

    def quiet(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    return quiet
