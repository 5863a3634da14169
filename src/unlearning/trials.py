"""The trials of a search: kept in an SQLite file per method, and which setting comes next."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from unlearning.errors import InputError, brief
from unlearning.files import DiskFull, no_room
from unlearning.search_space import Ranges, Values, star
from unlearning.seeds import derive_seed

DATABASES = Path(".scratch/search")
NO_ROOM_IN = re.compile("database or disk is full|disk I/O error")  # as SQLite says it
DIVERGED = -10_000.0  # score of a run whose loss stopped being finite: below every other


def database_of(name: str) -> Path:
    """Return where the trials of a method are kept."""
    return DATABASES / f"{name}.db"


@contextmanager
def trials_kept_in(database: Path) -> Iterator[None]:
    """Say in one line what is wrong with the database of trials: DiskFull without room, else InputError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        said = str(error.__cause__ or error).splitlines()[0]
        if NO_ROOM_IN.search(said):
            raise DiskFull(no_room(database, 0)) from None
        raise InputError(
            f"{database}: the trials of the search cannot be kept there ({brief(said, 200)}); remove the file, and the "
            "search begins anew"
        ) from None


def open_study(name: str, key: str) -> optuna.Study:
    """Return the study of a method under a key, with the trials it already has."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    DATABASES.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{database_of(name)}")
    study = optuna.create_study(storage=storage, study_name=f"{name}-{key}", direction="maximize", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=derive_seed(name, len(study.trials)) % 2**32)
    return study


def enqueue_next(study: optuna.Study, first: Values, bounds: Ranges) -> None:
    """Let the next trial be a step beside the best setting so far that was not tried, if there is one; `first` first.

    A step that helps is followed at once by the next in its direction, so that a handful of trials gets somewhere even
    from values in use that are far off.
    """
    there = [trial for trial in study.trials if trial.state != optuna.trial.TrialState.FAIL]  # such as by Ctrl-C
    known = [
        trial.user_attrs.get("values") or trial.params or trial.system_attrs.get("fixed_params") for trial in there
    ]
    best = best_of(study)
    centre = best.user_attrs["values"] if best else first
    untried = next((setting for setting in star(centre, bounds) if setting not in known), None)
    if untried is not None and not study.get_trials(states=[optuna.trial.TrialState.WAITING]):
        study.enqueue_trial(untried)


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that came to an end."""
    return study.get_trials(states=[optuna.trial.TrialState.COMPLETE])


def best_of(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """Return the finished trial of the highest score; None where none has finished."""
    return max(finished(study), key=lambda trial: DIVERGED if trial.value is None else trial.value, default=None)


def best_first(study: optuna.Study) -> float:
    """Return the first run's score of the best setting so far."""
    best = best_of(study)
    return best.user_attrs["scores"][0] if best else float("-inf")
