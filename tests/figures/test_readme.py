import json
from pathlib import Path

import pytest
import yaml

from tests.figures.summaries import summary
from unlearning.errors import InputError
from unlearning.figures.readme import METRICS, PARTS, fill, published, read
from unlearning.figures.table import COLUMNS, main_table
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER, REFERENCES

REPOSITORY = Path(__file__).parents[2]
BEGIN, END = "<!-- cost: python -m unlearning.figures.readme -->\n", "<!-- /cost -->\n"


def cells_of(table: str) -> dict[str, dict[str, str]]:
    """Return {model: {heading: cell}} of a Markdown table."""
    header, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {row[0].strip("*").removesuffix(" (control)"): dict(zip(header, row, strict=True)) for row in rows}


def test_the_readme_shows_the_committed_means() -> None:
    methods = list(yaml.safe_load((REPOSITORY / "params.yaml").read_text())["methods"])
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = cells_of(text.partition("<!-- table:")[2].partition("<!-- /table")[0])
    assert [name for name in shown if name not in (*REFERENCES, ANOTHER)] == methods
    for name, row in shown.items():
        metrics = json.loads((REPOSITORY / f"metrics/models/{name}.json").read_text())
        for key in set(COLUMNS) & set(metrics):  # deviations, marks and bold type come from files that are not in git
            cell = row[COLUMNS[key].heading].strip("*†‡").split(" ± ")[0]
            assert cell == f"{metrics[key]:.{COLUMNS[key].decimals}f}", (name, key)


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    assert fill(f"a\n{BEGIN}old\n{END}b\n", "cost", "new\n") == f"a\n{BEGIN}new\n{END}b\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, BEGIN.replace("cost", "table") + END])
def test_a_missing_mark_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="marks <!-- cost:"):
        fill(text, "cost", "table")


def write(name: str, folder: Path, one: Summary) -> None:
    for part, fields in zip(PARTS, (one.metrics, one.spread, one.details), strict=True):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"{name}.json").write_text(json.dumps(fields))


def test_what_compare_wrote_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = {"original": summary(3), "cu": summary(3, cka=[1.0, 2.0, 3.0])}
    for name, one in models.items():
        write(name, METRICS, one)
    assert read(["original", "cu"]) == models
    assert main_table(read(["original", "cu"]) | {"retrained": summary(3)}) == main_table(
        models | {"retrained": summary(3)}
    )


@pytest.mark.parametrize("missing", [METRICS / part for part in PARTS])
def test_a_file_that_is_missing_is_named(missing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("original", METRICS, summary(2))
    (missing / "original.json").unlink()
    with pytest.raises(InputError, match=rf"{missing}/original\.json not found; run `dvc repro`"):
        read(["original"])


def test_a_published_run_is_read_in_the_order_of_its_rows(tmp_path: Path) -> None:
    for name in ("original", "retrained", ANOTHER, "cu", "ec"):
        write(name, tmp_path, summary(3))
    methods = "methods:\n  ec: {start: a}\n  cu: {start: a}\n"
    (tmp_path / "params.yaml").write_text("references:\n  original: {}\n  retrained: {}\n" + methods)
    assert list(published(tmp_path)) == ["original", "retrained", ANOTHER, "ec", "cu"]
    (tmp_path / f"models/{ANOTHER}.json").unlink()
    assert list(published(tmp_path)) == ["original", "retrained", "ec", "cu"]
