"""Put the table of the last run into README.md: `python -m unlearning.figures.readme`, after `dvc repro`."""

import json
from pathlib import Path

from unlearning.errors import InputError, run_stage
from unlearning.figures.table import markdown_table
from unlearning.files import write_atomically
from unlearning.params import REFERENCES, load_params

README = Path("README.md")
BEGIN, END = "<!-- table: python -m unlearning.figures.readme -->\n", "<!-- /table -->\n"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    filled = fill(text, table_of(list(load_params().methods)))
    write_atomically(README, lambda path: path.write_text(filled, encoding="utf-8"))


def table_of(methods: list[str], folder: Path = Path("metrics/models")) -> str:
    """Return the table of the metrics that are there; raises InputError naming the file of a model without any."""
    rows = {}
    for name in [*REFERENCES, *methods]:
        path = folder / f"{name}.json"
        if not path.is_file():
            raise InputError(f"{path} not found; run `dvc repro` first")
        rows[name] = json.loads(path.read_text(encoding="utf-8"))
    return markdown_table(rows)


def fill(text: str, table: str) -> str:
    """Return the text with the table between its two marks; raises InputError when they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{README}: the marks {BEGIN.strip()} and {END.strip()} are missing; put them back")
    return before + begin + table + end + after


if __name__ == "__main__":
    run_stage(main)
