"""A temporary clone of this repository that runs real dvc on a still smaller configuration."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SMALL: dict[str, Any] = {
    "seeds": [0, 1],
    "model": {"kwargs": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}},
    "train": {"epochs": 4},
    "pretrain_ec": {"epochs": 1},
    "rl": {"epochs": 1},
    "cu": {"epochs": 1},
    "ec": {"epochs": 1, "lambda_cu": 1.5},
    "head_distill": {"epochs": 3},
    "mutual_information": {"trials": 1},
    "attacks": {"shots": [1, 3]},
    "relearn": {"draws": 1, "steps": 2},
    "retain_only": {"steps": 2},
    "idi": {"floor": 0.000001},
}
LIMIT = 120  # seconds to wait for what takes a few on an idle machine
METHODS = ["rl", "cu", "ec", "head_distill"]  # of all that there are: tests/methods runs each of them


def heed_signals() -> None:
    """To run in a child before its program: who runs the tests in the background has made it deaf to some."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(found: Callable[[], object]) -> None:
    """Wait until a function finds something."""
    deadline = time.monotonic() + LIMIT
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Clone:
    """The repository's files, as they are now, in a git repository of their own.

    What runs in it does so by the warm commands of tests/warm.py, unless it is asked to be a new interpreter.
    """

    def __init__(self, folder: Path, warm: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
        }
        self.warm = self.environment | {"PATH": f"{warm}{os.pathsep}{self.environment['PATH']}"}
        files = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
        )
        for name in files.stdout.decode().split():
            result = name.startswith(("metrics/", "plots/")) and not name.endswith(".gitkeep")
            if (ROOT / name).is_file() and Path(name).name != "dvc.lock" and not result:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((ROOT / name).read_bytes())
        self.set_params(SMALL)
        self.keep_methods(METHODS)
        self.git("init", "--quiet")
        self.git("config", "user.email", "test@example.org")
        self.git("config", "user.name", "test")
        self.commit()

    def set_params(self, changes: dict[str, Any]) -> None:
        """Change values of params.yaml; the comments are lost, the values are what counts here.

        The file is dated two seconds ahead: of a change within the second of a checkout that leaves the size as it was,
        an index that DVC has written tells git nothing, and `git checkout` would not restore the file.
        """
        path = self.folder / "params.yaml"
        values = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        later = time.time() + 2
        os.utime(path, (later, later))

    def keep_methods(self, names: list[str]) -> None:
        """Take the other methods out of params.yaml."""
        self._keep("methods", names)

    def keep_references(self, names: list[str]) -> None:
        """Take the other references out of params.yaml."""
        self._keep("references", names)

    def _keep(self, key: str, names: list[str]) -> None:
        path = self.folder / "params.yaml"
        values = yaml.safe_load(path.read_text())
        values[key] = {name: values[key][name] for name in names}
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def run(self, *command: str, new: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone, by new interpreters if `new`; stdout and stderr come together in stdout."""
        environment = self.environment if new else self.warm
        return subprocess.run(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def dvc(self, *arguments: str, new: bool = False) -> str:
        """Run dvc, and with it the stages, by new interpreters if `new`; fails with its output when it does."""
        done = self.run("dvc", *arguments, new=new)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "state")

    def back(self) -> None:
        """Return to the last commit, outputs included.

        Without an index git writes every file anew: it compares times in whole seconds, so that a value of params.yaml
        changed within the second of the last reset, to one of the same length, would stay.
        """
        (self.folder / ".git/index").unlink()
        self.git("reset", "--hard", "--quiet")
        self.dvc("checkout", "--quiet", "--force")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def lock(self, stage: str, output: str) -> str:
        """Return the hash that dvc.lock holds for a stage's output."""
        outs = yaml.safe_load(self.read("dvc.lock"))["stages"][stage]["outs"]
        return next(out["md5"] for out in outs if out["path"] == output)


def stages_run(output: str) -> list[str]:
    """Return the names of the stages whose command dvc ran, without `inputs`, which always runs."""
    return [name for name in re.findall(r"Running stage '([^']+)'", output) if not name.endswith(":inputs")]
