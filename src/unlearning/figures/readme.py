"""Put the tables of the last run into README.md: `python -m unlearning.figures.readme`, after `dvc repro`."""

import json
from pathlib import Path
from typing import Any

from unlearning.errors import InputError, run_stage
from unlearning.figures.floor import floor_table
from unlearning.figures.table import attack_table, cost_table, main_table
from unlearning.files import write_atomically
from unlearning.over_seeds import Summary
from unlearning.params import rows_of
from unlearning.params_file import load_params

README = Path("README.md")
METRICS, SPREAD, DETAILS = Path("metrics/models"), Path("metrics/spread"), Path("metrics/details")


def main() -> None:
    models = read(rows_of(load_params()))
    text = README.read_text(encoding="utf-8")
    text = fill(text, "table", main_table(models))
    text = fill(text, "floor", floor_table(models))
    text = fill(text, "attacks", attack_table(models))
    text = fill(text, "cost", cost_table(models))
    write_atomically(README, lambda path: path.write_text(text, encoding="utf-8"))


def read(names: list[str]) -> dict[str, Summary]:
    """Return what `compare` wrote of each model; raises InputError naming a file that is missing."""
    return {name: Summary(*(_read(folder / f"{name}.json") for folder in (METRICS, SPREAD, DETAILS))) for name in names}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} not found; run `dvc repro` first")
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return fields


def fill(text: str, mark: str, table: str) -> str:
    """Return the text with the table between its two marks; raises InputError when they are missing."""
    begin_mark, end_mark = f"<!-- {mark}: python -m unlearning.figures.readme -->\n", f"<!-- /{mark} -->\n"
    before, begin, rest = text.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise InputError(f"{README}: the marks {begin_mark.strip()} and {end_mark.strip()} are missing; put them back")
    return before + begin + table + end + after


if __name__ == "__main__":
    run_stage(main)
