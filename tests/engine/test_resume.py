import time
from pathlib import Path

import pytest
import torch

from unlearning.engine.resume import ResumeState, resume_state


def test_round_trip_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = resume_state("train@original", {"lr": 0.1}, [])
    assert state.load() is None
    state.save({"tensor": torch.ones(3), "progress": {"epoch": 2}})
    assert torch.equal(resume_state("train@original", {"lr": 0.1}, []).load()["tensor"], torch.ones(3))
    state.clear()
    assert state.load() is None
    assert not state.folder.exists()


def test_other_parameters_or_inputs_never_meet_an_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = tmp_path / "start"
    start.write_bytes(b"one")
    state = resume_state("unlearn@ec", {"lr": 0.1}, [start])
    state.save({"progress": {}})
    assert resume_state("unlearn@ec", {"lr": 0.1}, [start]).load() is not None
    assert resume_state("unlearn@ec", {"lr": 0.2}, [start]).load() is None
    assert resume_state("unlearn@cu", {"lr": 0.1}, [start]).load() is None
    start.write_bytes(b"two")
    assert resume_state("unlearn@ec", {"lr": 0.1}, [start]).load() is None


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path) -> None:
    state, saves = ResumeState(tmp_path), []

    def slow() -> dict[str, int]:
        saves.append(time.sleep(0.05))
        return {"step": len(saves)}

    for _ in range(3):
        state.save_sometimes(slow)
    assert state.load() == {"step": 1}
