"""No room on the disk, or a limit on the size of files: one line with the file and the bytes, the old file intact."""

import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.chaos import Ended, tried, tries
from tests.conftest import RECIPE, SHAPE, files_of_at_most, weights_of
from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.files import DiskFull, write_atomically, write_json
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.params import Recipe

MakeRun = Callable[..., Run]
pytestmark = pytest.mark.chaos
FOUR = Recipe(**{**RECIPE, "epochs": 4})
ROOM = 20_000  # bytes
MUCH = 200_000


def picture(path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 8))
    axes.imshow(np.random.default_rng(0).random((300, 300)))
    figure.savefig(path, format="png", dpi=200)
    plt.close(figure)


def checkpoint(path: Path, manifest: Manifest) -> None:
    save_checkpoint(path, Checkpoint(new_header(SHAPE, manifest, "train@x", {}), build(SHAPE), None))


def copy(path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(Path("source").read_bytes())

    write_atomically(path, write)


WRITERS: dict[str, Callable[[Path, Manifest], object]] = {
    "metrics/x.json": lambda path, _: write_json(path, "x" * MUCH),
    "models/x/0.safetensors": checkpoint,
    "data/split/train.npy": lambda path, _: save_pixels("train", torch.zeros(MUCH, dtype=torch.uint8)),  # noqa: ARG005
    "state/state.pt": lambda path, _: ResumeState(path.parent).save({"a": torch.zeros(MUCH)}),
    "plots/x.png": lambda path, _: write_atomically(path, picture),
    "metrics/report.md": lambda path, _: write_atomically(path, lambda file: file.write_text("x" * MUCH)),
    "copy": lambda path, _: copy(path),
}


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond ROOM while the test lasts."""
    with files_of_at_most(ROOM):
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of a few pages; skips where nobody may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", f"size={8 * ROOM}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    os.chdir(tmp_path)
    subprocess.run(["umount", str(folder)], check=True)


def prepared(path: Path) -> None:
    """Write what a writer is to replace, and what it reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("old")
    if path.name == "copy":
        Path("source").write_bytes(bytes(ROOM - 100))


def assert_old_and_alone(path: Path, beside: int = 0) -> None:
    assert path.read_text() == "old"
    assert len(list(path.parent.iterdir())) == 1 + beside


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "copy"])
def test_a_limit_on_the_size_of_files_is_one_line(name: str, world: Manifest, request: pytest.FixtureRequest) -> None:
    path = Path(name)
    prepared(path)
    beside = len(list(path.parent.iterdir())) - 1
    request.getfixturevalue("small_files")
    with pytest.raises(DiskFull) as caught:
        WRITERS[name](path, world)
    needs = r"(more|at least (?P<needed>[\d,]+) bytes)"
    said = rf"{name} cannot be written: it needs {needs}, and no file may have more than 20,000 here \(ulimit -f\); .*"
    found = re.fullmatch(said, str(caught.value))
    assert found
    assert name == "plots/x.png" or int(found["needed"].replace(",", "")) >= ROOM  # of a picture nobody knows it before
    tried("a limit on the size of files", Ended.TOLD)
    if name.startswith("data"):
        assert path.read_text() == "old"
    else:
        assert_old_and_alone(path, beside)


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line(name: str, world: Manifest, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_disk)
    path = Path(name)
    prepared(path)
    chance = random.Random(name)
    for pages in [1, *(chance.randrange(5) for _ in range(tries(0, 20)))]:
        filled(pages)
        with pytest.raises(DiskFull) as caught:
            WRITERS[name](path, world)
        needs = r"(more|at least [\d,]+ bytes)"
        said = rf"{name} cannot be written: it needs {needs}, [\d,]+ are free on its disk; make room, then the same .*"
        assert re.fullmatch(said, str(caught.value))
        assert "\n" not in str(caught.value)
        Path("filler").unlink()
        assert path.read_text() == "old"
        assert [one for one in path.parent.iterdir() if one.name.endswith(".tmp")] == []
        tried("a full disk", Ended.TOLD)


def filled(pages: int) -> None:
    """Leave so many pages of 4096 bytes free on the disk of the working directory."""
    with Path("filler").open("wb", buffering=0) as file:
        left = os.statvfs(".").f_bavail * os.statvfs(".").f_frsize
        file.write(bytes(left - 4096 * pages))


def plain(run: Run) -> Iterator[Tensor]:
    network = run.optimise(run.model, FOUR)
    for batch in run.batches("all", FOUR):
        yield F.cross_entropy(network(batch.images), batch.labels)


def test_a_run_whose_state_finds_no_room_warns_once_and_goes_on(
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))
    whole, run = make_run(folder="whole"), make_run(folder="full")
    whole.drive(plain(whole))
    run._minutes = 0.0
    request.getfixturevalue("small_files")
    run.drive(plain(run))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(said) == 1
    assert said[0].startswith("warning: the state of the run is not saved, which goes on: full/state.pt cannot be ")
    assert not list(Path("full").iterdir())
    assert all(torch.equal(value, weights_of(whole.model)[name]) for name, value in weights_of(run.model).items())
