from pathlib import Path

import pytest
import yaml

from unlearning.errors import InputError
from unlearning.figures.readme import fill, read
from unlearning.figures.table import markdown_table
from unlearning.params import REFERENCES

REPOSITORY = Path(__file__).parents[2]
BEGIN, END = "<!-- cost: python -m unlearning.figures.readme -->\n", "<!-- /cost -->\n"


def cells_of(table: str) -> dict[str, dict[str, str]]:
    """Return {model: {heading: cell}} of a Markdown table."""
    header, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {row[0].strip("*"): dict(zip(header, row, strict=True)) for row in rows}


def test_the_readme_shows_the_committed_metrics() -> None:
    methods = list(yaml.safe_load((REPOSITORY / "params.yaml").read_text())["methods"])
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = cells_of(text.partition("<!-- table:")[2].partition("<!-- /table")[0])
    committed = cells_of(markdown_table(read([*REFERENCES, *methods], REPOSITORY / "metrics/models")))
    assert list(shown) == list(committed)
    for name, row in committed.items():
        for heading, cell in row.items():  # the README adds deviations and marks, from details that are not in git
            assert shown[name][heading].split(" ± ")[0].rstrip("†‡") == cell, (name, heading)


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    assert fill(f"a\n{BEGIN}old\n{END}b\n", "cost", "new\n") == f"a\n{BEGIN}new\n{END}b\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, BEGIN.replace("cost", "table") + END])
def test_a_missing_mark_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="marks <!-- cost:"):
        fill(text, "cost", "table")


def test_a_model_without_metrics_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"original\.json not found; run `dvc repro`"):
        read(["original"], tmp_path)
