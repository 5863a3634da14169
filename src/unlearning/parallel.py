"""Several stages at once, each on a device of its own: `make parallel SLOTS=4`.

DVC runs one stage after the other. Here each stage starts as soon as all that it depends on is there and a slot is
free: the trunk first, then as many methods at once as there are slots. A stage that fails stops none but those behind
it. What runs is `dvc repro` of that stage alone, so that cache and lock file are as ever; a whole `dvc repro` at the
end says that nothing is left.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from unlearning.errors import InputError, Stopped
from unlearning.forecast import readable
from unlearning.processes import pass_down

LOGS = Path(".scratch/parallel")
DVC = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro"]  # DVC plans and saves a stage at a time
LAST = 3  # lines of a failed stage's output that are shown


@dataclass
class Plan:
    """Which stages there are, and what became of them."""

    before: dict[str, set[str]]  # of each stage: those that it depends on
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def ready(self) -> list[str]:
        """Return the stages that can start, in DVC's order."""
        begun = self.done | self.failed | self.running
        return [name for name, needs in self.before.items() if name not in begun and needs <= self.done]

    @property
    def out_of_reach(self) -> list[str]:
        """Return the stages that depend on a failed one."""
        return [name for name in self.before if name not in self.done | self.failed | self.running]


@dataclass(frozen=True)
class Ended:
    """How a stage came to its end."""

    stage: str
    slot: int
    seconds: float
    fault: str  # what it said last; empty where it went well


def parallel(slots: int) -> Iterator[str]:
    """Run all stages that have changed, `slots` at once; yield a line when one has ended.

    Raises InputError naming the stages that failed, with what they said last.
    """
    plan, said, began = Plan(stages_and_needs()), {}, time.monotonic()
    for ended in run_all(plan, slots):
        what = "failed" if ended.fault else "done"
        yield f"slot {ended.slot}: {ended.stage} {what} after {readable(ended.seconds)}"
        if ended.fault:
            said[ended.stage] = ended.fault
    if said:
        faults = "; ".join(f"{name} ({fault}; all of it: {log_of(name)})" for name, fault in said.items())
        left = f"; not run, as they depend on them: {len(plan.out_of_reach)} stages" if plan.out_of_reach else ""
        raise InputError(f"failed: {faults}{left}; mend it, the same command goes on")
    subprocess.run([*DVC, "--quiet"], check=True)
    yield f"all stages done in {readable(time.monotonic() - began)}"


def run_all(plan: Plan, slots: int) -> Iterator[Ended]:
    """Run the stages of a plan, each when it is ready and a slot is free."""
    devices = [device_of(slot, slots) for slot in range(slots)]
    free, running = list(range(slots)), set[Future[Ended]]()
    with ThreadPoolExecutor(slots) as pool:
        while plan.ready() or running:
            for name in plan.ready()[: len(free)]:
                plan.running.add(name)
                slot = free.pop(0)
                running.add(pool.submit(run_stage_in, name, slot, devices[slot]))
            over, running = wait(running, return_when=FIRST_COMPLETED)
            for ended in (future.result() for future in over):
                free.append(ended.slot)
                plan.running.remove(ended.stage)
                (plan.failed if ended.fault else plan.done).add(ended.stage)
                yield ended


def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Ask the stages that run to stop, as whoever waits for them is asked to; they save what they have."""
    pass_down(number)
    raise Stopped(number)


def stages_and_needs() -> dict[str, set[str]]:
    """Return {stage: the stages that it depends on} of the repository, as its files name them."""
    from dvc.repo import Repo

    with Repo() as repo:
        index = repo.index
        return {stage.addressing: {one.addressing for one in index.graph.successors(stage)} for stage in index.stages}


def run_stage_in(name: str, slot: int, device: dict[str, str]) -> Ended:
    """Run one stage in a slot; device: what its environment says of that."""
    log, started = log_of(name), time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        command = [*DVC, "--single-item", name]
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | device)
    fault = "" if done.returncode == 0 else said_last(log) or f"exit code {done.returncode}"
    return Ended(name, slot, time.monotonic() - started, fault)


def said_last(log: Path) -> str:
    """Return what tells why a stage failed: its own line of error, or its last lines."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("error: ")]
    return " / ".join(own or lines[-LAST:])


def device_of(slot: int, slots: int) -> dict[str, str]:
    """Return the environment of a slot: one of the GPUs in turn, or without any its share of the processor's cores."""
    gpus = visible_gpus()
    if gpus:
        return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]}
    share = max(1, len(os.sched_getaffinity(0)) // slots) if hasattr(os, "sched_getaffinity") else 1
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(share))}


def visible_gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES chooses GPUs, those of this process's own choice."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [one.strip() for one in chosen.split(",") if one.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except OSError:
        return []
    return [str(number) for number, _ in enumerate(listed.stdout.splitlines())] if listed.returncode == 0 else []


def log_of(name: str) -> Path:
    """Return where the output of a stage goes."""
    return LOGS / f"{name.replace('/', '_')}.log"


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("parallel")
