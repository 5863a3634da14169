"""Gather experiments into one table: means and deviations over the seeds, `unlearning gather <study or names>`."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem

from unlearning.errors import InputError
from unlearning.figures.readme import METRICS, PARTS
from unlearning.figures.report import NOT_TEST
from unlearning.figures.table import (
    attack_columns,
    attack_numbers,
    attack_table,
    cost_table,
    label_of,
    main_columns,
    main_numbers,
    main_table,
)
from unlearning.files import write_atomically
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER, REFERENCES
from unlearning.studies.queue import finished, plan
from unlearning.studies.study import Study, known_studies, load_study
from unlearning.yaml_text import parsed

RESULTS = Path("results")


def gather(names: list[str], target: Path | None) -> list[Path]:
    """Write README.md and numbers.csv of a study, or of experiments by name, below `target`; returns the files.

    names: of one study, or of experiments. target: None = results/<study>. Raises InputError for what has not run.
    """
    if len(names) == 1 and names[0] in known_studies():
        study = load_study(names[0])
        labels = {one.name: one.experiment.name for one in plan(names[0])}
        head = study_head(names[0], study)
    elif target is None:
        raise InputError(f"gather: {names[0]!r} is no study ({', '.join(known_studies())}); for experiments give --to")
    else:
        labels, head = {name: name for name in names}, "# Experiments\n"
    commits = finished()
    missing = [name for name in labels if name not in commits]
    if missing:
        raise InputError(f"not run on this commit: {', '.join(missing)}; run them first (`unlearning study <name>`)")
    models, splits = summaries_of({commits[name]: label for name, label in labels.items()})
    return write_table(models, head, splits, target or RESULTS / names[0])


def summaries_of(labels: dict[str, str]) -> tuple[dict[str, Summary], set[str]]:
    """Return {label: summary}, the references of the first experiment before them, and whose images judged.

    labels: {commit or name of an experiment: what the table calls it}.
    """
    models: dict[str, Summary] = {}
    splits = set()
    for name, label in labels.items():
        files = DVCFileSystem(rev=name)
        params = parsed(files.read_text("params.yaml"))
        splits.add(params["evaluate"]["split"])
        if not models:
            references = [one for one in REFERENCES if one in params["references"]]
            another = [ANOTHER] if files.exists(f"metrics/details/{ANOTHER}.json") else []
            models |= {one: summary_of(files, one) for one in [*references, *another]}
        models[label] = summary_of(files, params["headline"])
    return models, splits


def summary_of(files: Any, row: str) -> Summary:
    """Return what an experiment found of a row."""
    return Summary(*(json.loads(files.read_text(f"{METRICS}/{part}/{row}.json")) for part in PARTS))


def study_head(name: str, study: Study) -> str:
    """Return what a study asks, and what each of its experiments changes."""
    shared = ", ".join(f"`{key}: {value}`" for key, value in study.change.items())
    lines = [
        f"- **{one.name}**: `{study.row_of(one)}`" + "".join(f", `{key}: {value}`" for key, value in one.change.items())
        for one in study.experiments
    ]
    run = f"Run again: `unlearning study {name}`, then `unlearning gather {name}`.\n"
    return "\n".join([f"# {name}\n", study.about, run, *([f"All: {shared}\n"] if shared else []), *lines, ""])


def write_table(models: dict[str, Summary], head: str, splits: Iterable[str], target: Path) -> list[Path]:
    """Write the tables as Markdown, and their numbers as CSV."""
    judged = "".join(NOT_TEST.format(split=split) for split in splits if split != "test")
    parts = {
        "What is left": main_table(models, label),
        "What brings it back": attack_table(models, label),
        "Cost": cost_table(models, label),
    }
    text = f"{head}\n{judged}" + "\n".join(f"## {title}\n\n{table}" for title, table in parts.items())
    readme, numbers = target / "README.md", target / "numbers.csv"
    write_atomically(readme, lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(numbers, lambda path: write_numbers(models, path))
    return [readme, numbers]


def label(name: str) -> str:
    """Return what a row is called: an experiment by its name."""
    return label_of(name) if name in (*REFERENCES, ANOTHER) else name


def write_numbers(models: dict[str, Summary], path: Path) -> None:
    """Write a line for each experiment and number."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["experiment", "number", "mean", "std"])
        for name, one in models.items():
            main, attacks = main_numbers(one), (attack_numbers(one.mean), attack_numbers(one.std))
            columns = [(main, main_columns(models)), (attacks, attack_columns(models))]
            for (means, stds), keys in columns:
                for key in keys:
                    if means.get(key) is not None:
                        writer.writerow([name, key, means[key], stds.get(key, "")])
