import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

from unlearning.engine.resume import ResumeState, identity_key


def test_round_trip_and_clear(tmp_path: Path) -> None:
    state = ResumeState(tmp_path / "run")
    assert state.load() is None
    state.save({"tensor": torch.ones(3), "progress": {"epoch": 2}})
    assert torch.equal(ResumeState(tmp_path / "run").load()["tensor"], torch.ones(3))
    state.clear()
    assert state.load() is None
    assert not state.folder.exists()


def test_a_state_that_is_broken_is_as_good_as_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ResumeState(tmp_path)
    state.path.write_bytes(b"no zip")
    assert state.load() is None
    assert "starting from the beginning" in capsys.readouterr().err


def test_the_key_depends_on_parameters_on_what_is_in_the_inputs_and_on_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start"
    start.write_bytes(b"one")
    key = identity_key({"lr": 0.1}, [start])
    assert identity_key({"lr": 0.1}, [start]) == key
    assert identity_key({"lr": 0.2}, [start]) != key
    assert identity_key({"lr": 0.1}, []) != key
    start.write_bytes(b"two")
    assert identity_key({"lr": 0.1}, [start]) != key
    start.write_bytes(b"one")
    assert identity_key({"lr": 0.1}, [start]) == key
    module = ModuleType("unlearning.another")
    module.__file__ = str(start)
    monkeypatch.setitem(sys.modules, "unlearning.another", module)
    with_module = identity_key({"lr": 0.1}, [])
    assert with_module != identity_key({"lr": 0.1}, [start])
    start.write_bytes(b"three")
    assert identity_key({"lr": 0.1}, []) != with_module


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearning.engine.resume.FIRST", 0.0)
    state, saves = ResumeState(tmp_path), []

    def slow() -> dict[str, int]:
        saves.append(time.sleep(0.05))
        return {"step": len(saves)}

    for _ in range(3):
        state.save_sometimes(slow)
    assert state.load() == {"step": 1}
