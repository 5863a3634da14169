"""Put the tables of the last run, and of published ones, into README.md: `unlearning readme`, after `dvc repro`."""

import json
import re
from pathlib import Path
from typing import Any

from unlearning.errors import InputError, run_stage
from unlearning.figures.floor import floor_table
from unlearning.figures.table import attack_table, cost_table, main_table, short_table
from unlearning.files import write_atomically
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER, rows_of
from unlearning.params_file import load_params, load_values

README = Path("README.md")
METRICS, RESULTS = Path("metrics"), Path("results")
PARTS = ("models", "spread", "details")  # folders of what `report` writes, a file a model


def main() -> None:
    models = read(rows_of(load_params()))
    text = README.read_text(encoding="utf-8")
    text = fill(text, "table", main_table(models))
    text = fill(text, "floor", floor_table(models))
    text = fill(text, "attacks", attack_table(models))
    text = fill(text, "cost", cost_table(models))
    for name in re.findall(r"<!-- results/(\w+):", text):
        text = fill(text, f"results/{name}", short_table(published(RESULTS / name)))
    write_atomically(README, lambda path: path.write_text(text, encoding="utf-8"))


def published(folder: Path) -> dict[str, Summary]:
    """Return the models of a published run, in the order of its rows; raises InputError naming a missing file."""
    values = load_values(folder / "params.yaml")
    rows = [*values["references"], ANOTHER, *values["methods"]]
    return read([name for name in rows if name != ANOTHER or (folder / f"models/{ANOTHER}.json").is_file()], folder)


def read(names: list[str], folder: Path = METRICS) -> dict[str, Summary]:
    """Return what `report` wrote of each model; raises InputError naming a file that is missing."""
    return {name: Summary(*(_read(folder / part / f"{name}.json") for part in PARTS)) for name in names}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} not found; run `dvc repro` first")
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return fields


def fill(text: str, mark: str, table: str) -> str:
    """Return the text with the table between its two marks; raises InputError when they are missing."""
    begin_mark, end_mark = f"<!-- {mark}: python -m unlearning.figures.readme -->\n", f"<!-- /{mark} -->\n"
    return between(text, begin_mark, end_mark, table, README)


def between(text: str, begin_mark: str, end_mark: str, table: str, document: Path) -> str:
    """Return the text of a document with the table between two marks; raises InputError when they are missing."""
    before, begin, rest = text.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise InputError(
            f"{document}: the marks {begin_mark.strip()} and {end_mark.strip()} are missing; put them back"
        )
    return before + begin + table + end + after


if __name__ == "__main__":
    run_stage(main)
