"""What `compare` writes for `report`: the same when read back, and refused in one line when it is damaged."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import changed
from unlearning.comparison.earlier import Earlier
from unlearning.comparison.origins import Link
from unlearning.comparison.results import COMPARED, Results, read_results, write_results
from unlearning.errors import InputError
from unlearning.over_seeds import Summary

ONE = Summary(
    {"forget_acc": 0.1 + 0.2, "knn": {"birds": 1 / 3}},
    {"forget_acc": 1e-300},
    {"mean": {"cka_layers": {"layer4": None}, "by_samples": False}, "std": {}, "seeds": {"0": {}}, "notes": ["a", "ä"]},
)
LINK = Link("b", 0, "c" * 64, "d" * 64, "e" * 64, "f" * 16)
RESULTS = Results({"b": ONE, "a": Summary({}, {}, {"mean": {}, "std": {}})}, Earlier(["x"], 3, {"b": ONE}), [LINK])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("results", [RESULTS, Results({}, None, []), Results({"a": ONE}, Earlier([], 0, {}), [])])
def test_what_is_read_back_is_what_was_written_to_the_last_bit_and_in_its_order(results: Results) -> None:
    write_results(results)
    assert read_results() == results
    assert list(read_results().models) == list(results.models)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_results(Results({"a": Summary({"cka": number}, {}, {})}, None, []))
    assert not COMPARED.exists()


@pytest.mark.parametrize(
    "damage",
    [
        {"models.b.metrics": None},
        {"models.b": []},
        {"models": "x"},
        {"earlier.test_images": "3"},
        {"earlier.test_images": 3.5},
        {"earlier.classes": {"x": 1}},
        {"earlier": 0},
    ],
    ids=str,
)
def test_another_form_is_one_line_that_names_the_file_and_what_to_do(damage: dict[str, Any]) -> None:
    write_results(RESULTS)
    COMPARED.write_text(json.dumps(changed(json.loads(COMPARED.read_text()), damage)))
    assert_refused()


def test_a_number_that_was_edited_is_refused() -> None:
    write_results(RESULTS)
    text = COMPARED.read_text()
    assert "1e-300" in text
    COMPARED.write_text(text.replace("1e-300", "2e-300"))
    assert_refused()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(part: float) -> None:
    write_results(RESULTS)
    COMPARED.write_bytes(COMPARED.read_bytes()[: int(part * COMPARED.stat().st_size)])
    assert_refused()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"null", b"[]", b"{}", b"NaN"])
def test_other_content_is_refused(content: bytes) -> None:
    COMPARED.parent.mkdir()
    COMPARED.write_bytes(content)
    assert_refused()


def test_a_missing_file_says_what_makes_it() -> None:
    with pytest.raises(InputError, match=r"^metrics/compared\.json not found; run `dvc repro`, whose stage `compare`"):
        read_results()


def assert_refused() -> None:
    with pytest.raises(InputError) as refused:
        read_results()
    assert str(refused.value).startswith("metrics/compared.json is damaged (")
    assert "dvc repro --force compare" in str(refused.value)
    assert "\n" not in str(refused.value)
