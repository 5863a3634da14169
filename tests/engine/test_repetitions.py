"""Repetitions with real folders: the work writes what it was given into a file and counts that it was called."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
import torch

from tests.chaos import Ended, tried, tries
from tests.damage import BYTES
from unlearning.engine.launch import Launch
from unlearning.engine.repetitions import KEPT, SUMS, Needs, bound, place_all, repeat
from unlearning.engine.resume import SCRATCH, ResumeState

pytestmark = pytest.mark.chaos
ALONE = Launch(torch.device("cpu"), rank=0, world=1, dtype=torch.float32)


class Killed(BaseException):
    """Ends a stage in the middle of its work, as a signal does."""


class Stage:
    """A stage whose work for a seed is a file that names the seed; `done` are the seeds worked on."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.killed_in: int | None = None

    def work(self, seed: int, folder: Path, resume: ResumeState) -> None:
        self.done.append(seed)
        (folder / "out.txt").write_text(f"seed {seed}")
        resume.save({"seed": seed})
        if seed == self.killed_in:
            raise Killed

    def run(
        self,
        *seeds: int,
        stage: str = "train@x",
        lr: float = 0.1,
        inputs: tuple[Path, ...] = (),
        gigabytes: float = 1.0,
    ) -> dict[int, Path]:
        """Run the stage and return the folders; `done` is of this run alone."""
        self.done = []
        return repeat(stage, list(seeds), ALONE, lambda _: Needs({"lr": lr}, list(inputs)), self.work, gigabytes)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.chdir(tmp_path)
    return Stage()


def test_a_kept_seed_is_not_done_again_and_a_new_one_does_only_itself(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    first = stage.run(0, 1)
    assert stage.done == [0, 1]
    assert "finished before" not in capsys.readouterr().out
    assert stage.run(0, 1) == first
    assert stage.done == []
    again = stage.run(2, 1, 0)
    assert stage.done == [2]
    assert list(again) == [2, 1, 0]  # in the order of the list
    assert {seed: folder.joinpath("out.txt").read_text() for seed, folder in again.items()} == {
        seed: f"seed {seed}" for seed in (0, 1, 2)
    }
    output = capsys.readouterr().out
    assert f"train@x: seed 0 was finished before; its files are taken from {first[0]}" in output
    assert "seed 2" not in output


def test_what_was_damaged_is_done_again(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    folder, chance = stage.run(0)[0], Random(0)
    for number in range(tries(20, 1000)):
        path = folder / chance.choice(["out.txt", SUMS])
        content = path.read_bytes()
        damaged = chance.choice(BYTES)(content, chance)
        path.write_bytes(damaged)
        capsys.readouterr()
        assert stage.run(0)[0] == folder
        assert (folder / "out.txt").read_text() == "seed 0", number
        if stage.done:
            assert capsys.readouterr().err == f"warning: train@x: {folder} is damaged; seed 0 is done again\n"
        assert stage.done == [0] or path.name == SUMS or damaged == content, number  # white space in the sums is none
        tried("damage to what is kept of a finished seed", Ended.TOLD if stage.done else Ended.SAME)


@pytest.mark.parametrize("more", ["out2.txt", None])
def test_a_file_too_many_or_too_few_is_damage(stage: Stage, more: str | None) -> None:
    folder = stage.run(0)[0]
    (folder / more).write_text("x") if more else (folder / "out.txt").unlink()
    assert (stage.run(0)[0] / "out.txt").read_text() == "seed 0"
    assert stage.done == [0]


@pytest.mark.parametrize("name", ["out.txt", SUMS])
def test_a_pipe_in_the_place_of_a_kept_file_is_damage_and_not_waited_for(stage: Stage, name: str) -> None:
    path = stage.run(0)[0] / name
    path.unlink()
    os.mkfifo(path)
    assert (stage.run(0)[0] / "out.txt").read_text() == "seed 0"
    assert stage.done == [0]


@pytest.mark.parametrize("changes", [{"lr": 0.2}, {"stage": "train@y"}])
def test_other_parameters_or_another_stage_never_meet_an_old_folder(stage: Stage, changes: dict) -> None:
    stage.run(0)
    stage.run(0, **changes)
    assert stage.done == [0]
    stage.run(0)
    assert stage.done == []  # and the old one is still there


def test_other_inputs_never_meet_an_old_folder(stage: Stage) -> None:
    start = Path("start")
    start.write_bytes(b"one")
    stage.run(0, inputs=(start,))
    start.write_bytes(b"two")
    stage.run(0, inputs=(start,))
    assert stage.done == [0]
    start.write_bytes(b"one")
    stage.run(0, inputs=(start,))
    assert stage.done == []


def module_of(path: Path) -> ModuleType:
    module = ModuleType("unlearning.another")
    module.__file__ = str(path)
    return module


def test_other_code_never_meets_an_old_folder(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    code = Path("code.py").absolute()
    code.write_text("a = 1\n")
    monkeypatch.setitem(sys.modules, "unlearning.another", module_of(code))
    stage.run(0)
    code.write_text("a = 2\n")
    stage.run(0)
    assert stage.done == [0]


def test_what_work_imports_changes_nothing_for_the_seeds_behind_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise seed 1 would have one name where seed 0 was worked on before it, and another where it was kept."""
    code = Path("code.py").absolute()
    code.write_text("a = 1\n")

    def work(seed: int, folder: Path, resume: ResumeState) -> None:
        stage.work(seed, folder, resume)
        monkeypatch.setitem(sys.modules, "unlearning.another", module_of(code))

    repeat("s", [0, 1], ALONE, lambda _: Needs({}, []), work)
    monkeypatch.delitem(sys.modules, "unlearning.another")  # the next process begins without it
    stage.done = []
    repeat("s", [0, 1], ALONE, lambda _: Needs({}, []), work)
    assert stage.done == []


def test_each_seed_has_its_own_needs(stage: Stage) -> None:
    def needs(seed: int) -> Needs:
        return Needs({}, [Path(f"start{seed}")])

    for seed in (0, 1):
        Path(f"start{seed}").write_text("a")
    repeat("s", [0, 1], ALONE, needs, stage.work)
    Path("start1").write_text("b")
    stage.done = []
    repeat("s", [0, 1], ALONE, needs, stage.work)
    assert stage.done == [1]


def test_killed_work_leaves_no_folder_that_counts_and_loses_only_its_own_seed(stage: Stage) -> None:
    stage.killed_in = 1
    with pytest.raises(Killed):
        stage.run(0, 1, 2)
    assert stage.done == [0, 1]
    stage.killed_in = None
    seen = []

    def look(seed: int, folder: Path, resume: ResumeState) -> None:
        seen.append((seed, list(folder.iterdir()), resume.load()))
        stage.work(seed, folder, resume)

    folders = repeat("train@x", [0, 1, 2], ALONE, lambda _: Needs({"lr": 0.1}, []), look)
    # The folder is empty again, and the state of the run that was killed is there to go on from.
    assert seen == [(1, [], {"seed": 1}), (2, [], None)]
    assert sorted(KEPT.iterdir()) == sorted(folders.values())


def test_states_of_finished_seeds_are_gone(stage: Stage) -> None:
    stage.run(0, 1)
    assert list(SCRATCH.iterdir()) == [KEPT]


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str, int, int], Path]:
    """Return a function that makes a kept folder of some bytes that was used at a time."""

    def make(name: str, size: int, used: int) -> Path:
        folder = tmp_path / "kept" / name
        folder.mkdir(parents=True)
        (folder / "out").write_bytes(bytes(size))
        os.utime(folder, (used, used))
        return folder

    return make


def test_the_bound_removes_what_was_used_longest_ago_and_never_what_is_in_use(
    kept: Callable[..., Path], tmp_path: Path
) -> None:
    old, newer, newest, own = (kept(name, 1000, used) for used, name in enumerate(["d", "c", "b", "a"], start=5))
    oldest_own = kept("e", 1000, 1)
    bound(tmp_path / "kept", 5e-6, {own, oldest_own})
    assert all(folder.is_dir() for folder in (old, newer, newest, own, oldest_own))  # 5000 bytes are within 5000
    bound(tmp_path / "kept", 4e-6, {own, oldest_own})
    assert [folder.is_dir() for folder in (old, newer, newest, own, oldest_own)] == [False, True, True, True, True]
    bound(tmp_path / "kept", 1e-6, {own, oldest_own})
    assert [folder.is_dir() for folder in (newer, newest, own, oldest_own)] == [False, False, True, True]


def test_taking_a_kept_folder_counts_as_using_it(stage: Stage) -> None:
    first = stage.run(0, lr=0.1)[0]
    second = stage.run(0, lr=0.2)[0]
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    stage.run(0, lr=0.1)
    size = sum(file.stat().st_size for file in first.iterdir())
    stage.run(0, lr=0.3, gigabytes=2 * size / 1e9)
    assert first.is_dir()
    assert not second.is_dir()


def test_everything_of_one_call_stays_however_small_the_bound(stage: Stage) -> None:
    assert all(folder.is_dir() for folder in stage.run(0, 1, 2, gigabytes=1e-9).values())


def test_files_are_placed_as_copies_and_those_of_other_seeds_go(stage: Stage) -> None:
    folders, target = stage.run(0, 1), Path("models/x")
    place_all(folders, "out.txt", target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {"0.txt": "seed 0", "1.txt": "seed 1"}
    (target / "0.txt").write_text("changed")
    assert (folders[0] / "out.txt").read_text() == "seed 0"
    (target / "1.txt").chmod(0o444)  # as DVC makes its outputs
    place_all(stage.run(1, 5), "out.txt", target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {"1.txt": "seed 1", "5.txt": "seed 5"}
