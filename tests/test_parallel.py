"""Stages at once, in a small repository of DVC that really runs."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo as DvcRepo

from tests.pipeline import wait_for
from unlearning.errors import InputError
from unlearning.parallel import Plan, device_of, parallel, stages_and_needs, visible_gpus

ROWS = ["ab", "cd", "ef"]
PIPELINE = """
stages:
  trunk:
    cmd: python step.py trunk
    deps: [step.py]
    outs: [trunk.txt]
  row:
    foreach: [ab, cd, ef]
    do:
      cmd: python step.py ${item} trunk
      deps: [step.py, trunk.txt, "in_${item}.txt"]
      outs: ["${item}.txt"]
  table:
    cmd: python step.py table ab cd ef
    deps: [step.py, ab.txt, cd.txt, ef.txt]
    outs: [table.txt]
"""
STEP = """
import os, sys, time
from pathlib import Path
name, *before = sys.argv[1:]
own = Path(f"in_{name}.txt")
if own.is_file() and own.read_text() == "bad":
    sys.exit(f"error: {name} cannot read its input")
began = time.time()
meet = Path("meet")
if meet.is_dir() and own.is_file():
    (meet / name).touch()
    while len(list(meet.iterdir())) < 2 and time.time() < began + 60:
        time.sleep(0.02)
text = "".join(Path(f"{one}.txt").read_text() for one in before)
Path(f"{name}.txt").write_text(text + name)
with open("log", "a") as log:
    log.write(f"{name} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    DvcRepo.init(str(tmp_path), no_scm=True).close()
    Path("dvc.yaml").write_text(PIPELINE)
    Path("step.py").write_text(STEP)
    for name in ROWS:
        Path(f"in_{name}.txt").write_text("good")
    return tmp_path


def log() -> dict[str, list[str]]:
    """Return {stage: [GPUs]} of what ran since the last look."""
    path = Path("log")
    lines = path.read_text().splitlines() if path.is_file() else []
    path.unlink(missing_ok=True)
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_stages_run_at_once_and_after_what_they_depend_on() -> None:
    Path("meet").mkdir()  # where each row waits for another one
    said = list(parallel(2))
    ran = log()
    assert list(ran)[0] == "trunk"
    assert list(ran)[-1] == "table"
    assert len(list(Path("meet").iterdir())) == 3
    assert Path("table.txt").read_text() == "trunkabtrunkcdtrunkeftable"
    assert [re.sub("after .*", "", line) for line in said[:1]] == ["slot 0: trunk done "]
    assert said[-1].startswith("all stages done in")
    assert "up to date" in subprocess.run(["dvc", "status"], capture_output=True, text=True).stdout


def test_nothing_is_computed_twice() -> None:
    list(parallel(3))
    assert len(log()) == 5
    list(parallel(3))
    assert log() == {}
    Path("in_cd.txt").write_text("other")
    list(parallel(3))
    assert list(log()) == ["cd"]  # its output is the same, so that the table stays


def test_a_failure_stops_none_but_those_behind_it_and_is_named_in_the_end() -> None:
    Path("in_cd.txt").write_text("bad")
    with pytest.raises(InputError) as caught:
        list(parallel(2))
    assert set(log()) == {"trunk", "ab", "ef"}
    message = str(caught.value)
    assert message.startswith(
        "failed: row@cd (error: cd cannot read its input; all of it: .scratch/parallel/row@cd.log)"
    )
    assert "not run, as they depend on them: 1 stages" in message
    Path("in_cd.txt").write_text("good")
    list(parallel(2))
    assert set(log()) == {"cd", "table"}


def test_each_slot_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6")
    Path("meet").mkdir()
    assert visible_gpus() == ["4", "6"]
    assert [device_of(slot, 3)["CUDA_VISIBLE_DEVICES"] for slot in range(3)] == ["4", "6", "4"]
    list(parallel(2))
    assert {gpu for (gpu,) in log().values()} == {"4", "6"}


def test_without_a_gpu_the_slots_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert visible_gpus() == []
    assert [device_of(0, slots) for slots in (1, 4, 5, 100)] == [{"OMP_NUM_THREADS": n} for n in ("12", "3", "2", "1")]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert device_of(0, 4) == {"OMP_NUM_THREADS": "7"}


def test_who_is_asked_to_stop_passes_it_on_and_starts_nothing_more() -> None:
    Path("meet").mkdir()
    (Path("in_ab.txt")).write_text("alone")
    for name in ("in_cd.txt", "in_ef.txt"):
        Path(name).write_text("bad")  # so that ab waits in vain
    command = [sys.executable, "-m", "unlearning", "parallel", "--slots", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: Path("meet/ab").exists())
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert not Path("ab.txt").exists()
    running = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"])]
    assert ["python", "step.py", "ab", "trunk"] not in running


def test_a_plan_starts_what_has_all_it_needs() -> None:
    plan = Plan({"c": {"a", "b"}, "a": set(), "b": set(), "d": {"c"}})
    assert plan.ready() == ["a", "b"]
    plan.done.add("a")
    plan.running.add("b")
    assert plan.ready() == []
    plan.running.clear()
    plan.failed.add("b")
    assert plan.ready() == []
    assert plan.out_of_reach == ["c", "d"]


def test_the_stages_of_this_repository_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    before = stages_and_needs()
    assert before["unlearn@ec"] == {"split", "pretrain_ec", "data/dvc.yaml:inputs"}
    assert "evaluate@ec" in before["compare"]
