"""Which processes live: known by pid and birth, as a pid is given anew, and which of them started this one."""

import hashlib
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # as accelerate looks for them
DVC_STAGE = "DVC_STAGE"  # DVC sets it for what it starts, and has none of its own


@dataclass(frozen=True)
class Process:
    """One process, told from a later one of the same pid."""

    pid: int
    born: int  # clock ticks since the machine started; elsewhere than on Linux hundredths of a second since 1970

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """Return the process of this pid, or None where there is none."""
        born = birth(pid)
        return None if born is None else cls(pid, born)

    @property
    def lives(self) -> bool:
        return birth(self.pid) == self.born


def birth(pid: int) -> int | None:
    """Return when a process was born, or None where none of this pid lives; one that nobody has waited for is dead."""
    if not Path("/proc/self/stat").is_file():
        with suppress(psutil.Error):
            return round(100 * psutil.Process(pid).create_time())
        return None
    try:  # psutil's time of birth moves with the wall clock
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def this_process() -> Process:
    """Return the process that asks."""
    return Process(os.getpid(), birth(os.getpid()) or 0)


def place() -> str:
    """Return eight hexadecimal digits of the machine and the namespace in which a pid means this process."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def pass_down(number: int) -> bool:
    """Send a signal to all processes that this one has started, and to theirs; return whether there are any."""
    below = psutil.Process().children(recursive=True)
    for one in below:
        with suppress(psutil.Error):
            one.send_signal(number)
    return bool(below)


def on_request_to_end(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let SIGTERM and SIGHUP call a handler, but for one that this process was started to ignore."""
    for one in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, handler)


def token() -> str:
    """Return what the name of a temporary file says of the process that writes it; `died` reads it."""
    own = this_process()
    return f"{own.pid}-{own.born:x}-{place()}"


def died(pid: str, born: str, where: str) -> bool | None:
    """Tell from the parts of a token whether its process has ended; None where nobody here can know."""
    return not Process(int(pid), int(born, 16)).lives if where == place() else None


def rank() -> int | None:
    """Return which of the processes of a stage this is, before torch is there to ask; None where it is alone."""
    found = next((os.environ[name] for name in RANKS if name in os.environ), "-1")
    return None if found == "-1" else int(found)


def first_of_all() -> bool:
    """Return whether this is the one of several processes of a stage that writes."""
    return not rank()


def starter() -> Process | None:
    """Return the DVC that started this stage: the nearest ancestor that is not told of it. None without DVC."""
    stage = os.environ.get(DVC_STAGE)
    if stage is None:
        return None
    with suppress(psutil.Error):
        for ancestor in psutil.Process().parents():
            if ancestor.environ().get(DVC_STAGE) != stage:
                return Process.of(ancestor.pid)
    return None
