"""A study, studies/<name>.yaml: what it asks, and its experiments: each a row of `methods` with some values changed."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from unlearning.errors import InputError
from unlearning.params import ANOTHER, REFERENCES, Block, Params
from unlearning.params_file import checked, file_named, load_values, names_in

STUDIES = Path("studies")
Value = bool | int | float | str | list[float] | list[int] | list[str] | None


def _label(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.+-]*", text) or text in (*REFERENCES, ANOTHER):
        raise ValueError(
            f"{text!r} names an experiment: letters, digits, blanks and _.+- alone, and no reference's name"
        )
    return text


class Experiment(Block):
    """One row of the study's table."""

    name: Annotated[str, AfterValidator(_label)]
    row: str | None = None  # of `methods`; None = the study's
    change: dict[str, Value] = {}  # {dotted key of params.yaml: value}, beside the study's own


class Study(Block):
    about: str  # what is asked, Markdown
    row: str | None = None  # of `methods`, where most experiments have the same
    change: dict[str, Value] = {}  # of all experiments
    experiments: Annotated[list[Experiment], Field(min_length=1)]

    @field_validator("experiments")
    @classmethod
    def _names_once(cls, experiments: list[Experiment]) -> list[Experiment]:
        names = [slug(one.name) for one in experiments]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two experiments are called {twice}")
        return experiments

    def row_of(self, experiment: Experiment) -> str:
        """Return the row that an experiment is about; raises InputError where none is named."""
        row = experiment.row or self.row
        if row is None:
            raise InputError(f"experiment {experiment.name!r}: no row; name one of `methods` there or for the study")
        return row

    def changes(self, experiment: Experiment) -> dict[str, Value]:
        """Return all that an experiment changes."""
        return {**self.change, **experiment.change}


def known_studies() -> list[str]:
    """Return the names of the files in studies/, sorted."""
    return names_in(STUDIES)


def load_study(name: str) -> Study:
    """Read studies/<name>.yaml; raises InputError naming what is wrong in it, or the studies there are."""
    path = file_named(name, STUDIES)
    return checked(Study, load_values(path), path)


def slug(name: str) -> str:
    """Return a name as part of a git ref."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def experiment_name(study: str, experiment: Experiment, values: dict[str, Any], overrides: list[str]) -> str:
    """Return what DVC calls an experiment: with a hash of all values, so that another setting is another experiment.

    values: params.yaml as it is, overrides: what the experiment changes.
    """
    identity = json.dumps([values, overrides], sort_keys=True, default=str)
    return f"{study}-{slug(experiment.name)}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def overrides_of(study: Study, experiment: Experiment, params: Params, start: str) -> list[str]:
    """Return the values of `dvc exp run -S`: one row alone, its numbers the headline, and the changes.

    start: what the row starts from. In Hydra's grammar, as DVC takes it: `~key` takes away, `+key` adds.
    """
    row = study.row_of(experiment)
    others = [f"~methods.{name}" for name in params.methods if name != row]
    added = [] if row in params.methods else [f"+methods.{row}={{start:{start}}}"]
    audited = [f"~audit.{name}" for name in params.audit]
    shown = [f"headline={row}", f"figures.models=[{row}]"]
    changed = [f"{key}={hydra(value)}" for key, value in study.changes(experiment).items()]
    return [*added, *others, *audited, *shown, *changed]


def hydra(value: Value) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(hydra(one) for one in value)}]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)
