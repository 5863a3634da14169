"""What a saved state must be to go on from: damage, foreign states and other machines are one line and a new start."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.chaos import Ended, tried, tries
from tests.conftest import RECIPE, weights_of
from unlearning.engine.launch import Launch
from unlearning.engine.resume import DIGITS, SEAL, ResumeState
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.params import Recipe

pytestmark = pytest.mark.chaos
MakeRun = Callable[..., Run]
FOUR = Recipe(**{**RECIPE, "epochs": 4})
KILLED = 17  # steps, of 12 an epoch


def plain(run: Run) -> Iterator[Tensor]:
    network = run.optimise(run.model, FOUR)
    for batch in run.batches("all", FOUR):
        yield F.cross_entropy(network(batch.images), batch.labels)


def two_phases(run: Run) -> Iterator[Tensor]:
    yield from plain(run)
    yield from plain(run)


@pytest.fixture
def saved(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> ResumeState:
    """Return the state of a run that was killed within its second epoch."""
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))
    return killed(make_run, plain, KILLED)


def killed(make_run: MakeRun, program: Callable[[Run], Iterator[Tensor]], steps: int) -> ResumeState:
    run = make_run()
    run._minutes = 0.0

    def broken() -> Iterator[Tensor]:
        for number, loss in enumerate(program(run)):
            if number == steps:
                raise RuntimeError
            yield loss

    with pytest.raises(RuntimeError):
        run.drive(broken())
    return run.resume


@pytest.fixture
def whole(make_run: MakeRun) -> dict[str, Tensor]:
    run = make_run(folder="whole")
    run.drive(plain(run))
    return weights_of(run.model)


def assert_begins_anew(make_run: MakeRun, said: str, whole: dict[str, Tensor], capsys: Any) -> None:
    run = make_run()
    assert run._state is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: scratch/state.pt: ")
    assert said in line
    assert line.endswith("; starting from the beginning")
    run.drive(plain(run))
    assert all(torch.equal(value, whole[name]) for name, value in weights_of(run.model).items())


def test_no_damage_is_gone_on_from(saved: ResumeState, make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    content, chance = saved.path.read_bytes(), random.Random(0)
    assert make_run()._state is not None
    for _ in range(tries(60, 2000)):
        damaged = bytearray(content)
        if chance.random() < 0.7:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        else:
            del damaged[chance.randrange(len(damaged)) :]
        saved.path.write_bytes(damaged)
        assert saved.load() is None
        assert capsys.readouterr().err == f"warning: {saved.path}: it is damaged; starting from the beginning\n"
        tried("damage to the state of an unfinished run", Ended.TOLD)


def test_a_damaged_state_means_the_same_model_from_the_beginning(
    saved: ResumeState, make_run: MakeRun, whole: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(saved.path.read_bytes())
    content[len(content) // 2] ^= 1
    saved.path.write_bytes(content)
    assert_begins_anew(make_run, "it is damaged", whole, capsys)


def test_the_end_of_the_file_is_the_hash_of_the_rest(saved: ResumeState) -> None:
    content = saved.path.read_bytes()
    assert content[-DIGITS - len(SEAL) : -DIGITS] == SEAL


CHANGES: dict[str, tuple[Callable[[dict], object], str]] = {
    "of another run": (lambda state: state.update(run="elsewhere"), "it is of another run, elsewhere"),
    "another thread": (
        lambda state: state["conditions"].update(device="CPU (AVX2, 64 threads)"),
        "it was computed on CPU (AVX2, 64 threads)",
    ),
    "another precision": (lambda state: state["conditions"].update(precision="bf16"), "bf16"),
    "more processes": (lambda state: state["conditions"].update(processes=4), "4 processes, and this is"),
    "a key less": (lambda state: state.pop("position"), "position: Field required"),
    "a key more": (lambda state: state.update(more=1), "more: Extra inputs"),
    "no tensor": (lambda state: state["network"].update(x=1), "network.x"),
    "fewer steps": (lambda state: state["progress"].update(step=3), "steps are not those of its epochs"),
    "steps below 0": (lambda state: state["progress"].update(step=-1), "greater than or equal to 0"),
    "more epochs": (lambda state: state["progress"].update(epochs=[3]), "it has 3 epochs, and rows of 1"),
    "no epochs": (lambda state: state["progress"].update(epochs=[]), "epochs"),
    "text": (lambda state: state["progress"].update(samples="many"), "samples"),
    "endless": (lambda state: state["progress"].update(seconds=float("nan")), "seconds"),
    "ahead": (lambda state: state["position"].update(taken=[99]), "more batches than it has done steps"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_that_is_whole_but_not_this_runs_is_not_gone_on_from(
    saved: ResumeState, make_run: MakeRun, whole: dict[str, Tensor], change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = saved.load()
    CHANGES[change][0](state)
    saved.save(state)
    assert_begins_anew(make_run, CHANGES[change][1], whole, capsys)


SHAPES: dict[str, Callable[[dict], object]] = {
    "weight": lambda state: state["network"].update({"fc.bias": torch.zeros(3)}),
    "type": lambda state: state["network"].update({"fc.bias": torch.zeros(6).double()}),
    "name": lambda state: state["network"].pop("fc.bias"),
    "moment": lambda state: state["optimizer"]["state"][0].update(momentum_buffer=torch.zeros(2)),
    "group": lambda state: state["optimizer"]["param_groups"][0]["params"].pop(),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_another_network_are_not_gone_on_from(
    saved: ResumeState, make_run: MakeRun, whole: dict[str, Tensor], shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = saved.load()
    SHAPES[shape](state)
    saved.save(state)
    run = make_run()
    run.drive(plain(run))
    assert "starting from the beginning" in capsys.readouterr().err
    assert all(torch.equal(value, whole[name]) for name, value in weights_of(run.model).items())


@pytest.mark.usefixtures("saved")
def test_in_a_later_phase_they_are_refused(make_run: MakeRun) -> None:
    saved = killed(make_run, two_phases, 55)
    state = saved.load()
    SHAPES["weight"](state)
    saved.save(state)
    run = make_run()
    with pytest.raises(InputError, match=r"scratch/state\.pt does not fit this run: fc\.bias .*; remove that file"):
        run.drive(two_phases(run))


def test_other_epochs_and_phases_are_refused(saved: ResumeState, make_run: MakeRun) -> None:
    def shorter(run: Run) -> Iterator[Tensor]:
        network = run.optimise(run.model, FOUR)
        for _ in run.epochs([5, 5]):
            for batch in run.stream("all", 8, FOUR.augment, 0, 5):
                yield F.cross_entropy(network(batch.images), batch.labels)

    run = make_run()
    with pytest.raises(InputError, match="does not fit this run: its epochs have other numbers of steps"):
        run.drive(shorter(run))
    state = saved.load()
    state["progress"]["epochs"] = [0, 1]
    saved.save(state)
    run = make_run()
    with pytest.raises(InputError, match="a phase that this program does not come to"):
        run.drive(plain(run))


def test_processes_that_do_not_have_the_same_state_begin_anew_together(
    saved: ResumeState, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on two machines without a common disk, of which one has kept a state."""
    assert make_run()._state is not None
    monkeypatch.setattr(Launch, "highest", lambda self, number: max(number, -1 if number < -1 else 40))  # noqa: ARG005
    assert make_run()._state is None
    assert saved.path.is_file()


@pytest.mark.usefixtures("saved")
def test_what_one_thread_began_two_do_not_finish(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run = make_run()
    finally:
        torch.set_num_threads(before)
    assert run._state is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{before} threads), fp32, 1 processes, and this is CPU" in said
    assert f"{before + 1} threads)" in said


def test_a_launch_says_what_rounding_depends_on() -> None:
    one = Launch(torch.device("cpu"), 0, 1, torch.float32)
    assert one.conditions != replace(one, world=2).conditions
    assert one.conditions != replace(one, dtype=torch.bfloat16).conditions


def test_the_state_of_a_run_is_saved_only_where_that_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 2 % of the time that has passed, and not before so many minutes."""
    now = [100.0]
    monkeypatch.setattr("unlearning.engine.resume.time.monotonic", lambda: now[0])
    state, saves = ResumeState(tmp_path), []

    def slow() -> dict[str, int]:
        now[0] += 3.0
        saves.append(now[0])
        return {"step": len(saves)}

    for _ in range(10_000):
        now[0] += 0.5
        state.save_sometimes(slow)
    assert 3.0 * len(saves) / (now[0] - 100) < 0.02
    assert len(saves) > 10
    assert not state.due(minutes=1000.0)
    assert not ResumeState(tmp_path).due(minutes=0.1)
