"""Put the tables of the last run into README.md: `python -m unlearning.figures.readme`, after `dvc repro`."""

import json
from pathlib import Path
from typing import Any

from unlearning.errors import InputError, run_stage
from unlearning.figures.table import attack_table, cost_table, main_table
from unlearning.files import write_atomically
from unlearning.params import REFERENCES
from unlearning.params_file import load_params

README = Path("README.md")
METRICS, DETAILS = Path("metrics/models"), Path("metrics/details")


def main() -> None:
    models = [*REFERENCES, *load_params().methods]
    metrics, details = read(models, METRICS), read(models, DETAILS)
    text = README.read_text(encoding="utf-8")
    text = fill(text, "table", main_table(metrics, details))
    text = fill(text, "attacks", attack_table(details))
    text = fill(text, "cost", cost_table(details))
    write_atomically(README, lambda path: path.write_text(text, encoding="utf-8"))


def read(models: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the files of the models hold; raises InputError naming one that is missing."""
    rows = {}
    for name in models:
        path = folder / f"{name}.json"
        if not path.is_file():
            raise InputError(f"{path} not found; run `dvc repro` first")
        rows[name] = json.loads(path.read_text(encoding="utf-8"))
    return rows


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
