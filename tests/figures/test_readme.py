from pathlib import Path

import pytest
import yaml

from unlearning.errors import InputError
from unlearning.figures.readme import BEGIN, END, fill, table_of

REPOSITORY = Path(__file__).parents[2]


def test_the_readme_shows_the_committed_metrics() -> None:
    methods = list(yaml.safe_load((REPOSITORY / "params.yaml").read_text())["methods"])
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert fill(text, table_of(methods, REPOSITORY / "metrics/models")) == text


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    assert fill(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"


@pytest.mark.parametrize("text", ["", BEGIN, END])
def test_a_missing_mark_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="marks"):
        fill(text, "table")


def test_a_model_without_metrics_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"original\.json not found; run `dvc repro`"):
        table_of([], tmp_path)
