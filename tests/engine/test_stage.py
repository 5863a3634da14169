"""A stage without a training loop, run by real interpreters and real DVC: locks, signals, orphans, outdated stages."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline import ROOT, heed_signals, wait_for
from unlearning.processes import DVC_STAGE, Process
from unlearning.stage import Stage, at, chosen, entry_of

TOY = """
import os
import time
from pathlib import Path
from unlearning.files import write_json
from unlearning.params_file import load_values
from unlearning.stage import run_stage

def main():
    value = load_values()["toy"]["lr"]
    Path(f"began-{os.getpid()}").touch()
    while Path("hold").exists():
        time.sleep(0.01)
    write_json(Path("models/toy.json"), {"lr": value})

run_stage(main)
"""
PIPELINE = """
stages:
  toy:
    cmd: ${LAUNCH:-python} stages/toy.py
    deps:
      - stages/toy.py
      - data/split
    params:
      - toy.lr
    outs:
      - models/toy.json
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one stage, which runs for as long as there is a file `hold`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DVC_STAGE, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for folder in ("stages", "data/split"):
        Path(folder).mkdir(parents=True)
    Path("stages/toy.py").write_text(TOY)
    Path("dvc.yaml").write_text(PIPELINE.replace("${LAUNCH", "\\${LAUNCH"))
    Path("data/split/manifest.json").write_text("{}")
    set_lr(0.1)
    Path("hold").touch()
    return tmp_path


def set_lr(value: float) -> None:
    Path("params.yaml").write_text(f"toy:\n  lr: {value}\nother: {value}\n")


def model() -> dict | None:
    return json.loads(Path("models/toy.json").read_text()) if Path("models/toy.json").exists() else None


@pytest.fixture
def start(project: Path) -> Iterator[Callable[..., subprocess.Popen]]:  # noqa: ARG001
    """Return a function that starts a command; what still runs in the end is killed."""
    started: list[subprocess.Popen] = []

    def begin(*command: str, **environment: str) -> subprocess.Popen:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command or ("python", "stages/toy.py"), stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_signals,
            env=os.environ | environment, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def at_work(count: int = 1) -> list[Process]:
    """Wait until so many stages have begun their work; return those that live."""
    wait_for(lambda: len(list(Path().glob("began-*"))) >= count)
    found = [Process.of(int(path.name.partition("-")[2])) for path in Path().glob("began-*")]
    return [one for one in found if one is not None]


def test_a_second_run_of_a_stage_says_so_and_stops(start: Callable[..., subprocess.Popen]) -> None:
    first = start()
    at_work()
    out, said = start().communicate()
    line = rf"error: toy runs already in this folder: process {first.pid}, since \d{{4}}-[\d-]+ [\d:]+; wait .*\n"
    assert re.fullmatch(line, said)
    assert out == ""
    Path("hold").unlink()
    assert (first.wait(), model()) == (0, {"lr": 0.1})


def test_the_lock_dies_with_its_process(start: Callable[..., subprocess.Popen]) -> None:
    first = start()
    at_work()
    first.kill()
    first.wait()
    Path("hold").unlink()
    assert start().wait() == 0


def test_other_processes_of_one_run_need_no_lock(start: Callable[..., subprocess.Popen]) -> None:
    start(RANK="0")
    at_work()
    second = start(RANK="1")
    at_work(2)
    Path("hold").unlink()
    assert second.wait() == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_stage_in_one_line_with_its_code(start: Callable[..., subprocess.Popen], name: str) -> None:
    number = signal.Signals[name]
    stage = start()
    at_work()
    began = time.monotonic()
    stage.send_signal(number)
    out, said = stage.communicate()
    assert time.monotonic() - began < 10
    how = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    assert (stage.returncode, out, said) == (128 + number, "", f"{how}: toy; the same command goes on\n")
    assert model() is None


def test_a_stage_that_is_deep_in_a_library_ends_within_ten_seconds(start: Callable[..., subprocess.Popen]) -> None:
    """Python tells nothing of a signal to a call that does not come back; numbers of that size are a minute's work."""
    deep = "import hashlib\n        hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    Path("stages/toy.py").write_text(TOY.replace("time.sleep(0.01)", deep))
    stage = start()
    at_work()
    time.sleep(0.2)
    began = time.monotonic()
    stage.send_signal(signal.SIGTERM)
    said = stage.communicate()[1]
    assert 5 < time.monotonic() - began < 10
    assert said == "stopped by SIGTERM: in the middle of a step; the same command goes on\n"
    assert stage.returncode == 143
    Path("stages/toy.py").write_text(TOY)
    Path("hold").unlink()
    assert start().wait() == 0


def test_a_signal_that_is_turned_off_stays_so(start: Callable[..., subprocess.Popen]) -> None:
    stage = start("sh", "-c", "trap '' HUP; exec python stages/toy.py")
    at_work()
    stage.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    Path("hold").unlink()
    assert (stage.wait(), model()) == (0, {"lr": 0.1})


@pytest.mark.parametrize("where", ["params", "inputs"])
def test_a_stage_whose_parameters_or_inputs_have_changed_writes_nothing(
    start: Callable[..., subprocess.Popen], where: str
) -> None:
    stage = start()
    at_work()
    if where == "params":
        set_lr(0.2)
    else:
        Path("data/split/manifest.json").write_text('{"other": 1}')
    Path("hold").unlink()
    out, said = stage.communicate()
    what = {"params": "toy.lr of params.yaml", "inputs": "data/split/manifest.json"}[where]
    assert (stage.returncode, out) == (1, "")
    assert said.startswith(f"error: toy: {what} changed while it ran, and models/toy.json would be of the old;")
    assert said.count("\n") == 1
    assert model() is None
    assert not list(Path("models").iterdir())


def test_what_it_does_not_depend_on_may_change(start: Callable[..., subprocess.Popen]) -> None:
    stage = start()
    at_work()
    Path("params.yaml").write_text("toy:\n  lr: 0.10  # the same\nother: 5\n")
    Path("data/split/.hidden.tmp").touch()
    Path("hold").unlink()
    assert (stage.wait(), model()) == (0, {"lr": 0.1})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_orphan_of_dvc_stops_and_never_overwrites_a_newer_model(
    start: Callable[..., subprocess.Popen], number: int
) -> None:
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)
    dvc = start("dvc", "repro")
    (orphan,) = at_work()
    dvc.send_signal(number)  # to it alone: its stage is not told
    dvc.wait()
    set_lr(0.2)
    Path("hold").unlink()
    again = start("dvc", "repro")
    out, said = again.communicate()
    assert again.returncode == 0, out + said
    assert model() == {"lr": 0.2}
    wait_for(lambda: not orphan.lives)
    assert model() == {"lr": 0.2}
    assert "is busy" not in out + said


def test_an_orphan_notices_by_itself_that_dvc_has_gone(start: Callable[..., subprocess.Popen]) -> None:
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)
    dvc = start("dvc", "repro")
    (orphan,) = at_work()
    dvc.kill()
    wait_for(lambda: not orphan.lives)
    said = dvc.stderr.read()
    line = "stopped by SIGTERM: toy: DVC, which started it, has gone; the same command goes on\n"
    assert said.endswith(line)
    assert "Traceback" not in said


def test_ctrl_c_reaches_dvc_and_its_stage_and_leaves_nothing_locked(start: Callable[..., subprocess.Popen]) -> None:
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)
    dvc = start("dvc", "repro")
    at_work()
    os.killpg(dvc.pid, signal.SIGINT)  # as a terminal does
    said = dvc.communicate()[1]
    assert said.count("interrupted: toy; the same command goes on\n") == 1
    assert "Traceback" not in said
    Path("hold").unlink()
    assert start("dvc", "repro").wait() == 0
    assert model() == {"lr": 0.1}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_unlearning_run_passes_a_signal_on_and_leaves_nothing_locked(
    start: Callable[..., subprocess.Popen], name: str
) -> None:
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], check=True)
    run = start("python", "-m", "unlearning", "run")
    at_work()
    run.send_signal(signal.Signals[name])  # to it alone
    said = run.communicate()[1]
    assert run.returncode == 128 + signal.Signals[name]
    assert said.splitlines()[-1] == f"stopped by {name}: toy; the same command goes on"
    assert "Traceback" not in said
    assert "ERROR" not in said
    Path("hold").unlink()
    assert start("dvc", "repro").wait() == 0
    assert model() == {"lr": 0.1}


def test_temporary_files_of_dead_processes_go_and_those_of_the_living_stay(
    start: Callable[..., subprocess.Popen],
) -> None:
    Path("hold").unlink()
    writer = (
        "import os, sys, time\nfrom pathlib import Path\nfrom unlearning.files import write_atomically\n"
        "def write(path):\n    path.touch()\n    Path('written').touch()\n    time.sleep(1000)\n"
        "write_atomically(Path(sys.argv[1]), write)\n"
    )
    places = ["models/ec/0.safetensors", "metrics/x.json", "plots/y.png", "data/split/train.npy", "data/forget.json",
              "params.yaml", ".scratch/run/state.pt"]  # fmt: skip
    dead = [start("python", "-c", writer, place) for place in places]
    wait_for(lambda: len(temporary()) == len(places))
    for process in dead:
        process.kill()
        process.wait()
    living = start("python", "-c", writer, "models/living/0.safetensors")
    wait_for(lambda: len(temporary()) == len(places) + 1)
    strange = Path("models/.0.safetensors.77-1f-00000000.tmp")  # of another machine, and new: it may be at work
    strange.touch()
    old = Path("models/.0.safetensors.78-1f-00000000.tmp")
    old.touch()
    os.utime(old, (1, 1))
    users = [Path("models/.own.tmp"), Path("models/own.77.tmp")]
    for path in users:
        path.touch()
    assert start().wait() == 0
    assert [path.parent.name for path in temporary() if path not in (strange, *users)] == ["living"]
    assert strange.exists()
    assert not old.exists()
    assert all(path.exists() for path in users)
    assert living.poll() is None


def temporary() -> list[Path]:
    return [path for path in Path().rglob(".*.tmp") if "site" not in path.parts]


def test_a_full_standard_output_is_one_line(start: Callable[..., subprocess.Popen]) -> None:
    Path("stages/toy.py").write_text(TOY.replace("Path(f", "print('much' * 10)\n    Path(f"))
    Path("hold").unlink()
    stage = start("sh", "-c", "python stages/toy.py > /dev/full")
    said = stage.communicate()[1]
    assert (stage.returncode, said) == (
        1,
        "error: cannot write (No space left on device); make room, then the same command goes on\n",
    )


VALUES = {"methods": {"ec": {"start": "ec_modules"}}, "references": {"retrained": {"knows": "data/forget.json"}}}


@pytest.mark.parametrize(
    ("stage", "key", "dep"),
    [
        (Stage("unlearn", ("ec",)), "ec", "models/ec_modules"),
        (Stage("train", ("retrained",)), "retrained", "data/forget.json"),
        (Stage("evaluate", ("ec",)), "attacks", "models/ec"),
        (Stage("audit", ("vendor",)), "audit.vendor", "data/inputs/models/vendor.json"),
        (Stage("transfer", ("ec", "--name", "cifar10", "--root", "x")), "knn", "data/inputs/sets/cifar10.json"),
        (Stage("compare", ()), "idi", "metrics/raw"),
        (Stage("report", ()), "headline", "metrics/compared.json"),
        (Stage("shadow", ("0",)), "lira.seed", "data/split"),
    ],
)
def test_a_stage_knows_from_dvc_yaml_what_it_depends_on(
    stage: Stage, key: str, dep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    entry = entry_of(stage, VALUES)
    assert key in entry["params"]
    assert dep in entry["deps"]
    assert not any("${" in one for one in entry["params"])


def test_a_stage_that_dvc_yaml_does_not_name_depends_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert entry_of(Stage("nosuch", ()), VALUES) == {"params": [], "deps": []}


def test_names_tell_runs_apart() -> None:
    assert Stage("unlearn", ("ec",)).name == "unlearn@ec"
    assert Stage("transfer", ("ec", "--name", "cifar10")).name == "transfer@ec-cifar10"
    assert Stage("split", ()).name == "split"


def test_values_are_found_by_dotted_keys() -> None:
    assert at({"a": {"b": 1}}, "a.b") == 1
    assert chosen({"a": {"b": 1}}, {"params": ["a.b", "a.c"]}) == {"a.b": 1, "a.c": "absent"}
