"""What DVC, process starts and imports cost: a part of the default pipeline in a clone of its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.side_by_side import Goal, Line, line
from benchmarks.world import ROOT

TARGETS = ("evaluate@ec", "evaluate@finetune", "evaluate_reference@original")  # with all that they need
CLOCK = """

_run_stage, _log = run_stage, Path("{log}")


def run_stage(main):
    import time

    started = time.perf_counter()
    try:
        _run_stage(main)
    finally:
        with _log.open("a") as file:
            print(time.perf_counter() - started, file=file)
"""


def measure() -> Iterator[Line]:
    """The wall time of `dvc repro` over that of what its stages do once their modules are loaded; then again."""
    with tempfile.TemporaryDirectory() as folder:
        clone, log = Path(folder) / "clone", Path(folder) / "seconds"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        (clone / "dvc.lock").unlink(missing_ok=True)
        stage = clone / "src/unlearning/stage.py"
        stage.write_text(stage.read_text() + CLOCK.replace("{log}", str(log)))
        whole = repro(clone)
        stages = [float(text) for text in log.read_text().split()]
        yield line(
            f"`dvc repro` of {len(stages)} stages of the default", "what its stages compute",
            [(whole, sum(stages))], Goal(1.35), "s", "imports, process starts and DVC are the rest",
        )  # fmt: skip
        again = [(repro(clone), 1.0) for _ in range(3)]
        yield line(f"`dvc repro` of these {len(stages)}, nothing to do", "a second", again, Goal(3), "s")


def repro(clone: Path) -> float:
    """Return the seconds of `dvc repro`; raises CalledProcessError where it fails."""
    environment = os.environ | {"PYTHONPATH": str(clone / "src"), "DVC_SITE_CACHE_DIR": str(clone / ".dvc/site")}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--quiet", *TARGETS], cwd=clone, env=environment, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started
