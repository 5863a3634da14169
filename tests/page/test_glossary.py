import pytest

from tests.page.models import made_up
from unlearning.figures.floor import SHOWN
from unlearning.figures.table import COST_COLUMNS, HELD_OUT_COLUMNS, attack_columns, main_columns
from unlearning.page.glossary import FIELDS, glossary, name_of, parts_of, term_of

MADE = {"seconds", *COST_COLUMNS, *HELD_OUT_COLUMNS}  # numbers that no metric's file computes
KEYS = [
    *main_columns(made_up()), *attack_columns(made_up()), *SHOWN, *COST_COLUMNS, *HELD_OUT_COLUMNS, "knn.birds",
    "knn_gap.birds",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_every_column_is_explained_by_what_computes_it(key: str) -> None:
    (term,) = glossary([key]).values()
    assert term.names == [name_of(key)]
    assert term.says.endswith((".", "?"))
    assert list(term.fields) == ([] if key in MADE else list(FIELDS))
    assert all(text and "`" not in text for text in term.fields.values())


def test_numbers_of_images_share_a_term() -> None:
    assert list(glossary(["relearn.1", "relearn.20", "cka"])) == ["relearning", "cka"]
    assert term_of("knn.birds") == "knn"


def test_columns_of_one_file_share_a_term_with_all_their_names() -> None:
    assert glossary(["forget_acc", "retain_acc"])["accuracy"].names == [name_of("forget_acc"), name_of("retain_acc")]


def test_a_docstring_falls_into_its_first_sentence_and_its_fields() -> None:
    text = "Name: what\nit is.\n\nDirection: lower. Range: 0..100\npercent. Data: `test` set.\n\nMore."
    assert parts_of(text) == (
        "Name: what it is.", {"Direction": "lower.", "Range": "0..100 percent.", "Data": "test set."}
    )  # fmt: skip
    assert parts_of("Only a sentence.") == ("Only a sentence.", {})
