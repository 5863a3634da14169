import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.pipeline import wait_for
from unlearning.errors import InputError
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.studies.queue import RECORDS, dvc, end, git, give_up_lost, plan, queued, refuse_relative, with_status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(ROOT)
    return load_params()


@pytest.mark.usefixtures("params")
def test_each_experiment_of_a_study_has_a_name_of_its_own_and_the_rows_start() -> None:
    planned = plan("plug_in")
    assert len({one.name for one in planned}) == len(planned) == 6
    assert all("evaluate.split='validation'" in one.overrides for one in planned)
    assert plan("plug_in") == planned


def test_images_that_a_copy_of_the_workspace_would_miss_are_refused(params: Params) -> None:
    refuse_relative(params)  # the digits are in a package
    data = params.data.model_copy(update={"name": "image_folder", "root": "data/raw/pets"})
    own = params.model_copy(update={"data": data})
    with pytest.raises(InputError, match=r"data\.root: data/raw/pets is relative.*make it absolute, /"):
        refuse_relative(own)
    refuse_relative(own.model_copy(update={"data": data.model_copy(update={"root": "/pets"})}))


def test_what_dvc_refuses_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="`dvc exp list --names-only` failed: .*not inside of a DVC repository"):
        dvc("exp", "list", "--names-only")


STATUS = """\
Task     Name               Created    Status
0aefad3  sensitivity-a      07:59 PM   Running
e83d7c2  sensitivity-b      07:59 PM   Queued
40b159a  renew-c            07:13 PM   Success
"""


def test_the_names_of_a_status_are_read() -> None:
    assert with_status(STATUS, "Running") == {"sensitivity-a": "0aefad3"}
    assert set(with_status(STATUS, "Queued", "Running")) == {"sensitivity-a", "sensitivity-b"}


EXPERIMENT = "0aefad3" + 33 * "0"


@pytest.fixture
def record(tmp_path: Path) -> Callable[[int], Path]:
    """Return what writes DVC's record of an experiment that a process of some pid runs."""

    def written(pid: int) -> Path:
        path = tmp_path / f"{EXPERIMENT}.json"
        path.write_text(json.dumps({"pid": pid, "stdin": None, "returncode": None}))
        return path

    return written


def returncode(record: Path) -> int | None:
    return json.loads(record.read_text())["returncode"]


def test_an_experiment_that_runs_on_is_ended_with_what_it_started(record: Callable[[int], Path]) -> None:
    command = "import subprocess, sys; subprocess.run(['sleep', '1000'])"
    with subprocess.Popen([sys.executable, "-c", command, f"run/{EXPERIMENT}.run"]) as process:
        wait_for(lambda: psutil.Process(process.pid).children())
        (below,) = psutil.Process(process.pid).children()
        written = record(process.pid)
        end(written)
        assert process.wait(10) == -signal.SIGKILL
    assert not below.is_running() or below.status() == psutil.STATUS_ZOMBIE
    assert json.loads(written.read_text()) == {"pid": process.pid, "stdin": None, "returncode": -signal.SIGKILL}


def test_a_process_that_got_the_pid_of_an_experiment_later_is_left_alone(record: Callable[[int], Path]) -> None:
    with subprocess.Popen(["sleep", "1000"]) as innocent:
        written = record(innocent.pid)
        end(written)
        assert innocent.poll() is None
        assert returncode(written) == -signal.SIGKILL
        innocent.kill()


def test_an_experiment_that_nobody_has_waited_for_has_ended(record: Callable[[int], Path]) -> None:
    with subprocess.Popen(["true"]) as ended:
        wait_for(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
        written = record(ended.pid)
        end(written)
        assert returncode(written) == -signal.SIGKILL


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Go to a repository whose queue holds one experiment, of a stage that never ends by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    git("init", "--quiet")
    git("config", "user.email", "test@example.org")
    git("config", "user.name", "test")
    Path(".gitignore").write_text("site\n")
    Path("params.yaml").write_text("lr: 1\n")
    Path("dvc.yaml").write_text(
        "stages:\n  sleep:\n    cmd: sleep 1000\n    params:\n    - lr\n    outs:\n    - x:\n        cache: false\n"
    )
    dvc("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "state")
    dvc("exp", "run", "--queue", "--name", "endless", "--set-param", "lr=2")
    yield
    kill_all(tmp_path)


@pytest.mark.pipeline
@pytest.mark.usefixtures("endless")
def test_an_experiment_whose_worker_was_killed_is_given_up_and_no_other(tmp_path: Path) -> None:
    assert (queued(), give_up_lost()) == ({"endless"}, set())
    dvc("queue", "start", quiet=False)  # the worker inherits what would catch its output
    wait_for(lambda: any(one.info["cmdline"] == ["sleep", "1000"] for one in at_work(tmp_path)))
    assert give_up_lost() == set()
    kill_all(tmp_path)
    assert (give_up_lost(), queued()) == ({"endless"}, set())


def at_work(folder: Path) -> list[psutil.Process]:
    """Return the processes of DVC's queue and its stage that run in a repository."""
    found = psutil.process_iter(["cwd", "cmdline"])
    return [one for one in found if one.pid != os.getpid() and (one.info["cwd"] or "").startswith(str(folder))]


@pytest.mark.pipeline
@pytest.mark.usefixtures("endless")
def test_an_experiment_that_runs_on_without_its_worker_is_ended_and_given_up(tmp_path: Path) -> None:
    dvc("queue", "start", quiet=False)
    wait_for(lambda: any(one.info["cmdline"] == ["sleep", "1000"] for one in at_work(tmp_path)))
    (record,) = RECORDS.glob("*/*.json")
    runs_on = psutil.Process(json.loads(record.read_text())["pid"])
    below = {one.pid for one in runs_on.children(recursive=True)}
    for one in at_work(tmp_path):
        if one.pid not in {runs_on.pid, *below}:
            one.kill()
    assert (give_up_lost(), queued()) == ({"endless"}, set())
    wait_for(lambda: not at_work(tmp_path))


def kill_all(folder: Path) -> None:
    """Kill them, as a machine does that goes down."""
    for process in at_work(folder):
        with suppress(psutil.NoSuchProcess):
            process.kill()
