"""metrics/runs: which code, software, parameters, files and machine made the outputs of a stage, and when.

A record is an output of its stage, so that DVC keeps it with the outputs and brings it back with them. What differs
from run to run, time above all, stands in it alone: no stage depends on a record, so none runs again because of one.
The report reads them.
"""

import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from unlearning.files import sha256_known, write_json
from unlearning.read_back import Count, Hash, Origin, Written, opened, read_json, sealed

RUNS = Path("metrics/runs")
PACKAGES = ("torch", "torchvision", "timm", "safetensors", "numpy", "scikit-learn", "accelerate", "pydantic", "dvc")
CODE = ("src", "stages", "dvc.yaml", "params.yaml")
SECONDS = 20  # for git: a record without a commit is better than none


class Machine(Protocol):
    """What `engine.launch.Launch` says of where a stage ran."""

    @property
    def description(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def world(self) -> int: ...


class RunRecord(Written):
    """One run of a stage."""

    stage: str
    command: list[str]
    commit: str | None  # None: not run in a git repository
    dirty: bool  # whether code or params.yaml differed from the commit
    packages: dict[str, str]
    params: dict[str, Any]
    seeds: list[int]
    split: str  # `Manifest.hash`
    inputs: dict[str, Hash]
    outputs: dict[str, Hash]
    device: str | None  # the GPU, or the CPU's vector instructions and threads; None where nothing was computed on one
    precision: str | None
    processes: Count
    threads: Count | None
    started: str  # ISO 8601, UTC
    ended: str
    seal: Hash


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def record_path(stage: str) -> Path:
    """Return where the record of a stage lies; stage: as dvc.yaml names it, such as "unlearn@ec"."""
    return RUNS / f"{stage.replace('@', '/')}.json"


@dataclass(frozen=True)
class Recorder:
    """Made when a stage begins; `write` when all of its outputs are there."""

    stage: str
    started: str = field(default_factory=utc_now)

    def write(
        self,
        params: dict[str, Any],
        seeds: list[int],
        split: str,
        inputs: Iterable[Path],
        outputs: Iterable[Path],
        where: Machine | None = None,
    ) -> None:
        """Write the record; of folders among the files every file in them is named, what is not there is left out."""
        fields = {
            "stage": self.stage,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "commit": commit(),
            "dirty": is_dirty(),
            "packages": packages(),
            "params": params,
            "seeds": seeds,
            "split": split,
            "inputs": hashes(inputs),
            "outputs": hashes(outputs),
            "device": where.description if where else None,
            "precision": where.precision if where else None,
            "processes": where.world if where else 1,
            "threads": threads(),
            "started": self.started,
            "ended": utc_now(),
        }
        write_json(record_path(self.stage), sealed(fields))


def read_run(stage: str) -> RunRecord | None:
    """Return the record of a stage, None where there is none; raises InputError for a damaged one."""
    path, origin = record_path(stage), Origin("the record of a run", stage)
    return opened(read_json(path, origin), RunRecord, path, origin) if path.exists() else None


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Return {path: SHA-256} of files, and of all files in folders."""
    found = (sorted(path.rglob("*")) if path.is_dir() else [path] for path in files)
    return {str(file): sha256_known(file) for paths in found for file in paths if file.is_file()}


def threads() -> int | None:
    """Return how many threads torch computes with; None where it is not loaded."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch else None


def git(*arguments: str) -> str | None:
    """Return what git says, or None where there is no git, no repository, or no such thing."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def commit() -> str | None:
    """Return the commit; None outside of a git repository."""
    found = git("rev-parse", "HEAD")
    return found.strip() if found else None


def is_dirty() -> bool:
    """Return whether code or parameters differ from the commit."""
    return bool(git("status", "--porcelain", "--untracked-files=no", "--", *CODE))


def packages() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
