"""A report that fails leaves the last good one, by real dvc: it removes what a stage has written before it runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import ROOT
from unlearning.last_good import KEPT

PIPELINE = """\
stages:
  report:
    cmd: PYTHON report.py
    deps:
      - wanted
      - data/forget.json
    outs:
      - metrics/report.md
    plots:
      - plots/tsne.png:
          cache: false
    metrics:
      - metrics/models:
          cache: false
"""
STAGE = """\
import json
from pathlib import Path

from unlearning.errors import InputError, run_stage
from unlearning.last_good import last_good


def main():
    with last_good("report"):
        wanted = Path("wanted").read_text()
        for name in ("metrics/report.md", "metrics/models/ec.json", "plots/tsne.png"):
            if wanted == f"no {name}":
                raise InputError("the file is broken")
            if wanted == f"a fault before {name}":
                raise ValueError("a fault")
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(json.dumps(wanted))


run_stage(main)
"""
WRITTEN = ("metrics/report.md", "metrics/models/ec.json", "plots/tsne.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a pipeline of one stage, which has run once."""
    (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("PYTHON", sys.executable))
    (tmp_path / "report.py").write_text(STAGE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/forget.json").write_text("[1]")
    (tmp_path / "wanted").write_text("good")
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "dvc", "init", "--quiet")
    assert repro(tmp_path).returncode == 0
    assert content(tmp_path) == ['"good"'] * 3
    return tmp_path


def run(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run([command, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def repro(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(folder, "dvc", "repro")


def content(folder: Path) -> list[str | None]:
    return [(folder / name).read_text() if (folder / name).is_file() else None for name in WRITTEN]


@pytest.mark.parametrize("failing", WRITTEN)
@pytest.mark.parametrize("how", ["no", "a fault before"])
def test_what_the_last_good_run_wrote_stands_after_one_that_fails_anywhere(
    folder: Path, how: str, failing: str
) -> None:
    (folder / "wanted").write_text(f"{how} {failing}")
    done = repro(folder)
    assert done.returncode
    assert "metrics and plots are again those of the last run that went well" in done.stderr
    assert content(folder) == ['"good"'] * 3
    (folder / "wanted").write_text("good")
    assert "didn't change" in repro(folder).stdout
    (folder / "wanted").write_text("better")
    assert repro(folder).returncode == 0
    assert content(folder) == ['"better"'] * 3


def test_what_is_not_of_this_lock_or_of_another_split_is_not_put_back_but_the_error_says_how_to_get_it(
    folder: Path,
) -> None:
    (folder / "wanted").write_text("no metrics/report.md")
    (folder / "data/forget.json").write_text("[2]")
    assert "`dvc checkout`" in repro(folder).stderr
    assert content(folder) == [None] * 3
    (folder / "data/forget.json").write_text("[1]")
    kept = folder / KEPT / "report/metrics/report.md"
    kept.write_text("of another run")
    assert "`dvc checkout`" in repro(folder).stderr
    assert content(folder) == [None] * 3
    kept.unlink()
    assert "`dvc checkout`" in repro(folder).stderr


def test_a_stage_started_without_dvc_touches_nothing_that_stands(folder: Path) -> None:
    (folder / "metrics/report.md").unlink()
    (folder / "metrics/report.md").write_text("of another commit")
    (folder / "wanted").write_text("no metrics/report.md")
    done = run(folder, sys.executable, "report.py")
    assert (done.returncode, done.stderr) == (1, "error: the file is broken\n")
    assert content(folder) == ["of another commit", '"good"', '"good"']


def test_a_disk_without_room_for_the_copy_is_no_reason_to_fail(folder: Path) -> None:
    shutil.rmtree(folder / KEPT)
    (folder / KEPT).write_text("a file where the folder should be")
    (folder / "wanted").write_text("better")
    assert repro(folder).returncode == 0
    assert content(folder) == ['"better"'] * 3
