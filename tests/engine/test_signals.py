"""A training that is asked to stop ends its step, saves, says so in one line, and goes on to the same bytes."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import Ended, tried, tries
from tests.pipeline import ROOT
from unlearning.data.manifest import Manifest

TRAINING = """
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have turned them off
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.path.insert(0, os.environ["TESTS"])

from unlearning.data.manifest import load_manifest
from unlearning.engine.launch import launch
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.run import Run
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.params import Train
from unlearning.stage import run_stage
from unlearning.training.classifier import train_classifier

import torch
from tests.conftest import RECIPE, SHAPE

def main():
    manifest, where = load_manifest(), launch("fp32")
    Path("pid").write_text(str(os.getpid()))

    def work(seed, folder, resume):
        torch.manual_seed(seed)
        run = Run("toy", where, manifest, build(SHAPE), seed, resume)
        run.drive(slowly(train_classifier(run, Train(**{**RECIPE, "epochs": 5}, label_smoothing=0.0), "all"), run))
        header = new_header(SHAPE, manifest, "toy", {})
        save_checkpoint(folder / "model.safetensors", Checkpoint(header, run.model, None))

    folders = repeat("toy", [0, 1], where, lambda seed: Needs({}, []), work)
    for seed, folder in folders.items():
        (Path("models") / f"{seed}").write_bytes((folder / "model.safetensors").read_bytes())

def slowly(program, run):
    with closing(program):
        for loss in program:
            if Path("slow").exists():
                Path("step").write_text(str(run.progress.step))
                time.sleep(float(Path("slow").read_text()))
            yield loss

run_stage(main)
"""
pytestmark = pytest.mark.chaos
LIMIT = 300  # seconds to wait for what takes a few on an idle machine


class Training:
    """A stage that trains two seeds on the small world, in a folder."""

    def __init__(self, folder: Path, warm: Path) -> None:
        self.folder = folder
        path = os.pathsep.join([str(warm), os.environ["PATH"]])
        self.environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "TESTS": str(ROOT)}

    def start(self, seconds: float = 0.0) -> subprocess.Popen:
        """Start it, each step taking so many seconds more."""
        for name in ("slow", "step", "pid"):
            (self.folder / name).unlink(missing_ok=True)
        if seconds:
            (self.folder / "slow").write_text(str(seconds))
        return subprocess.Popen(
            ["python", "toy.py"], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def wait_for_step(self, step: int) -> int:
        """Wait until a step has been reached; return the process that is at it."""
        deadline = time.monotonic() + LIMIT
        while int(self.read("step") or -1) < step:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return int(self.read("pid"))

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.is_file() else ""

    def models(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "models").iterdir()}


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """Hold the models of an undisturbed run for all tests: the small world is the same in each."""
    return {}


@pytest.fixture
def training(world: Manifest, warm: Path, whole: dict[str, bytes]) -> Iterator[Training]:  # noqa: ARG001
    for name in ("whole", "broken"):
        folder = Path(name)
        folder.mkdir()
        (folder / "models").mkdir()
        (folder / "toy.py").write_text(TRAINING)
        shutil.copytree("data", folder / "data")
    if not whole:
        undisturbed = Training(Path("whole"), warm)
        process = undisturbed.start()
        said = process.communicate()
        assert process.returncode == 0, said
        whole |= undisturbed.models()
    return Training(Path("broken"), warm)


AT_STEPS = [("SIGINT", 0), ("SIGTERM", 17), ("SIGHUP", 41)]
CHANCE = random.Random(0)
AT_RANDOM = [(name, CHANCE.randrange(50)) for name in ("SIGINT", "SIGTERM", "SIGHUP") for _ in range(tries(0, 12))]


@pytest.mark.parametrize(("name", "behind"), AT_STEPS + AT_RANDOM)
def test_a_signal_saves_the_step_and_the_same_command_goes_on_to_the_same_bytes(
    training: Training, whole: dict[str, bytes], name: str, behind: int
) -> None:
    process = training.start(0.05)
    pid = training.wait_for_step(behind)
    began = time.monotonic()
    os.kill(pid, signal.Signals[name])
    said = process.communicate()[1]
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.Signals[name]
    assert "Traceback" not in said
    how = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    saved = r"(it is saved up to step (\d+), in epoch \d|its epochs up to \d are saved|no epoch of it is saved yet)"
    found = re.fullmatch(rf"{how}: toy, seed 0: {saved}; the same command goes on", said.splitlines()[-1])
    assert found
    assert not list((training.folder / "models").iterdir())
    if behind > 2:
        assert int(found[2] or 12 * behind) >= behind
    again = training.start()
    out, said = again.communicate()
    assert again.returncode == 0, said
    assert training.models() == whole
    tried(f"{name} to a training, which then goes on", Ended.SAME)


def test_a_step_that_takes_too_long_is_not_waited_for(training: Training, whole: dict[str, bytes]) -> None:
    process = training.start(1000.0)
    pid = training.wait_for_step(0)
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    said = process.communicate()[1]
    assert time.monotonic() - began < 10
    assert process.returncode == 143
    line = "stopped by SIGTERM: toy, seed 0: no epoch of it is saved yet; the same command goes on"
    assert said.splitlines()[-1] == line
    assert training.start().wait() == 0
    assert training.models() == whole
