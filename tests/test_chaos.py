"""Stages of the real pipeline that are killed at any moment, and in the middle of a write.

A file that a stage had written before is afterwards the old one or the new one, which are the same here, and never
half of one; the same command then ends with the same bytes, and nothing of the killed process is left behind.
"""

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.chaos import Ended, counted, put_into, table, tried, tries
from tests.pipeline import Clone
from unlearning.files import TEMPORARY, leftovers, sha256_of

pytestmark = [pytest.mark.chaos, pytest.mark.pipeline]
KILLING = str(Path(__file__).parent / "killing.py")
STAGES = ["split", "train@retrained", "pretrain_ec", "unlearn@cu", "evaluate@cu", "compare", "report"]
TIMED = ("metrics/runs", "metrics/cost", "metrics/report.html")  # what says how long a run took, and when
SAY_SECONDS = ("compare", "report")  # what they write holds the seconds that the stages before them took
KILLS = tries(1, 16)  # of each stage and kind


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Clone:
    clone = Clone(tmp_path_factory.mktemp("chaos"), warm)
    clone.set_params({"seeds": [0]})
    clone.keep_methods(["cu"])
    clone.set_params(
        {"headline": "cu", "figures": yaml.safe_load(clone.read("params.yaml"))["figures"] | {"models": []}}
    )
    clone.dvc("repro")
    clone.commit()
    return clone


@dataclass(frozen=True)
class Victim:
    """One stage of a clone."""

    clone: Clone
    stage: str

    @property
    def command(self) -> list[str]:
        """What DVC runs."""
        return self._entry["cmd"].replace("${LAUNCH:-python} ", "").replace("python ", "").split()

    @property
    def _entry(self) -> dict:
        return yaml.safe_load(self.clone.read("dvc.lock"))["stages"][self.stage]

    def outputs(self) -> dict[str, str]:
        """Return {file: SHA-256} of its outputs, without those that say when it ran."""
        found = [self.clone.folder / out["path"] for out in self._entry["outs"] if not out["path"].startswith(TIMED)]
        files = [file for path in found for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
        return {str(file.relative_to(self.clone.folder)): sha256_of(file) for file in files if file.is_file()}

    def run(self, when: str) -> int:
        """Run it, killed as tests/killing.py says; return the exit code."""
        return self.clone.run("python", KILLING, when, *self.command).returncode


@pytest.fixture(params=STAGES)
def victim(clone: Clone, request: pytest.FixtureRequest) -> Victim:
    return Victim(clone, request.param)


def assert_goes_on(victim: Victim, before: dict[str, str]) -> None:
    """Look at what a kill has left, run the stage to its end and look again."""
    left = victim.outputs()
    kept = {name: digest for name, digest in left.items() if not TEMPORARY.fullmatch(Path(name).name)}
    assert kept == {name: before[name] for name in kept}, "half of a file, or another one"
    done = victim.clone.run("python", *victim.command)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    assert victim.outputs() == before
    folders = ("models", "metrics", "plots", "data")
    assert [path for name in folders for path in leftovers(victim.clone.folder / name)] == []


def test_a_stage_killed_in_the_middle_of_a_write_ends_the_same(victim: Victim) -> None:
    chance = random.Random(victim.stage)
    assert victim.run("count") == 0
    before = victim.outputs()
    writes = int(victim.clone.read("writes"))
    assert writes > 3
    for number in range(KILLS):
        milliseconds = 0 if number % 2 else chance.randrange(1, 5)
        if victim.run(f"write:{chance.randrange(1, writes + 1)}:{milliseconds}") == 0:
            continue  # it was quicker
        assert_goes_on(victim, before)
        tried("stages killed in the middle of a write", Ended.SAME)


def test_a_stage_killed_at_any_moment_ends_the_same(victim: Victim) -> None:
    chance, began = random.Random(victim.stage), time.monotonic()
    assert victim.clone.run("python", *victim.command).returncode == 0
    milliseconds = 1000 * (time.monotonic() - began)
    before = victim.outputs()
    for _ in range(KILLS):
        if victim.run(f"time:{chance.random() * milliseconds:.0f}") == 0:
            continue
        assert_goes_on(victim, before)
        tried("stages killed at any moment", Ended.SAME)


@pytest.mark.parametrize("number", range(tries(0, 6)))
def test_a_pipeline_killed_again_and_again_ends_the_same(clone: Clone, number: int) -> None:
    """DVC and its stages, all at once, by new processes of their own; what it made before is gone."""
    chance, stages = random.Random(number), [Victim(clone, stage) for stage in STAGES if stage not in SAY_SECONDS]
    before = {victim.stage: victim.outputs() for victim in stages}
    clone.run("sh", "-c", "rm -rf .dvc/cache .dvc/tmp .scratch models/* metrics/raw metrics/features dvc.lock")
    while True:
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=clone.folder, env=clone.environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            said = process.communicate(timeout=chance.uniform(5, 60))[0]
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            tried("`dvc repro` and all its stages killed at any moment, then run again", Ended.SAME)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert {victim.stage: victim.outputs() for victim in stages} == before


def test_what_is_counted_is_shown(tmp_path: Path) -> None:
    lines = ['["b", "SAME", 2]', '["a", "TOLD", 1]', '["b", "TOLD", 1200]']
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- tried -->\nold\n<!-- end of tried -->\nafter\n")
    put_into(document, table(counted(lines)))
    assert document.read_text().splitlines() == [
        "before",
        "<!-- tried -->",
        "| what was tried | tries | right all the same | told in one line | anything else |",
        "| :--- | ---: | ---: | ---: | ---: |",
        "| a | 1 | 0 | 1 | 0 |",
        "| b | 1,202 | 2 | 1,200 | 0 |",
        "| **all** | 1,203 | 2 | 1,201 | 0 |",
        "<!-- end of tried -->",
        "after",
    ]
