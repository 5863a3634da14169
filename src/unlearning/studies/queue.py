"""Run a study: each experiment once, through DVC's queue, in copies of the workspace: `unlearning study ablation`.

What an experiment shares with the workspace or with another one, such as the original model, comes from DVC's cache.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from unlearning.erase import start_of
from unlearning.errors import InputError
from unlearning.files import write_json
from unlearning.inputs import outside_of, surrogates_of
from unlearning.params import Params
from unlearning.params_file import load_params, load_values
from unlearning.studies.study import Experiment, experiment_name, load_study, overrides_of

RECORDS = Path(".dvc/tmp/exps/run")  # one a running experiment, <commit>/<commit>.json
NO_WORKER = "Worker status: 0 active, 0 idle"  # as `dvc queue status` says it


@dataclass(frozen=True)
class Planned:
    """One experiment of a study under the present params.yaml."""

    experiment: Experiment
    name: str  # DVC's
    overrides: list[str]


def plan(study_name: str) -> list[Planned]:
    """Return a study's experiments; raises InputError for a study, row or value that is not there."""
    study, params, values = load_study(study_name), load_params(), load_values()
    planned = []
    for one in study.experiments:
        overrides = overrides_of(study, one, params, start_of(study.row_of(one), params))
        planned.append(Planned(one, experiment_name(study_name, one, values, overrides), overrides))
    return planned


def run_study(study_name: str, jobs: int) -> Iterator[str]:
    """Queue what has not run yet and run the queue, `jobs` experiments at once; yield lines that say what happens.

    Raises InputError where a copy of the workspace would miss the images, and naming the experiments that failed.
    """
    planned = plan(study_name)
    refuse_relative(load_params())
    for name in give_up_lost():
        yield f"{name} was running when its worker ended; it begins again"
    done, waiting = finished(), queued()
    for one in planned:
        if one.name in done:
            yield f"{one.experiment.name}: was finished before, as {one.name}"
        elif one.name not in waiting:
            changes = [word for override in one.overrides for word in ("-S", override)]
            dvc("exp", "run", "--queue", "-n", one.name, *changes)
            yield f"{one.experiment.name}: queued as {one.name}"
    if all(one.name in done for one in planned):
        return
    yield f"running, {jobs} at once; `dvc queue status` tells more, `dvc queue logs <name>` what one prints"
    dvc("exp", "run", "--run-all", "--jobs", str(jobs), quiet=False)
    done = finished()
    missing = [one.name for one in planned if one.name not in done]
    if missing:
        raise InputError(
            f"not finished: {', '.join(missing)}; `dvc queue logs <name>` says why, the same command goes on"
        )


def finished() -> dict[str, str]:
    """Return {name: commit} of the experiments that have run on this commit.

    Asks git, under whose refs/exps/<commit>/<name> DVC keeps them: DVC itself answers nobody while a queue runs.
    """
    head = git("rev-parse", "HEAD").strip()
    listed = git("for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", f"refs/exps/{head[:2]}/{head[2:]}")
    names_and_commits = (line.split() for line in listed.splitlines())
    return dict(names_and_commits)


def queued() -> set[str]:
    """Return the names of the experiments that wait in the queue, or run."""
    return set(with_status(dvc("queue", "status"), "Queued", "Running"))


def give_up_lost() -> set[str]:
    """Tell DVC of the experiments that it takes for running though no worker lives, and return their names.

    So it is after a machine went down: DVC would wait for them for ever.
    """
    said = dvc("queue", "status")
    lost = with_status(said, "Running") if NO_WORKER in said else {}
    for name, task in sorted(lost.items()):
        for record in RECORDS.glob(f"{task}*/{task}*.json"):
            end(record)
        dvc("queue", "kill", "--force", name)
    return set(lost)


def end(record: Path) -> None:
    """End the experiment of a record of DVC's, if it runs on without its worker, and write there that it has ended.

    DVC itself would take any process of the recorded pid for it, also another one's, and one that nobody waits for.
    """
    experiment, recorded = record.stem, json.loads(record.read_text())
    with suppress(psutil.Error):
        process = psutil.Process(recorded["pid"])
        if any(experiment in word for word in process.cmdline()):
            for one in [*process.children(recursive=True), process]:
                one.kill()
    if recorded["returncode"] is None:
        write_json(record, recorded | {"returncode": -signal.SIGKILL})


def with_status(said: str, *wanted: str) -> dict[str, str]:
    """Return {name: first digits of its commit} of the experiments of a status in what `dvc queue status` prints."""
    rows = [line.split() for line in said.splitlines()]
    return {row[1]: row[0] for row in rows if row and row[-1] in wanted}


def refuse_relative(params: Params) -> None:
    """Raise InputError for a path outside git that a copy of the workspace would not find."""
    for sources in outside_of(params, surrogates_of(params, load_values())).values():
        for source in sources:
            if not source.path.is_absolute():
                raise InputError(
                    f"{source.key}: {source.path} is relative, and experiments run in copies of the workspace, without "
                    f"what git ignores; make it absolute, {source.path.absolute()}, and run `dvc repro` once"
                )


def dvc(*words: str, quiet: bool = True) -> str:
    """Run a command of DVC; returns what it prints. Raises InputError with its last lines when it fails."""
    return _output([sys.executable, "-m", "dvc"], words, quiet)


def git(*words: str) -> str:
    """Run a command of git; returns what it prints. Raises InputError with its last lines when it fails."""
    return _output(["git"], words, quiet=True)


def _output(program: list[str], words: tuple[str, ...], quiet: bool) -> str:
    done = subprocess.run([*program, *words], capture_output=quiet, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or "").strip().splitlines()[-3:])
        raise InputError(f"`{program[-1]} {' '.join(words[:3])}` failed: {said or 'see above'}")
    return done.stdout or ""
