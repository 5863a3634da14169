"""Every value of params.yaml has bounds: what cannot be meant is refused by its key, whatever it is."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import changed, values_of_params
from unlearning import check
from unlearning.errors import Faults
from unlearning.params_file import blocks_of, checked

VALUES = values_of_params()
FREE = ("model.kwargs",)  # judged with the network


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and key not in FREE:
        for name, below in value.items():
            yield from leaves(below, f"{key}.{name}" if key else name)
    else:
        yield key, value


LEAVES = dict(leaves(VALUES))
NUMBERS = [key for key, value in LEAVES.items() if isinstance(value, int | float) and not isinstance(value, bool)]
LISTS = [key for key, value in LEAVES.items() if isinstance(value, list)]
TEXTS = [key for key, value in LEAVES.items() if isinstance(value, str)]
EMPTY = [key for key, value in LEAVES.items() if value is None]


def faults(folder: Path, changes: dict[str, Any]) -> list[str]:
    """Return what is wrong with params.yaml as changed; the test fails where nothing is."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(changed(VALUES, changes)), encoding="utf-8")
    with pytest.raises(Faults) as caught:
        check.check(path)
    assert all(len(fault) <= 180 and "\n" not in fault for fault in caught.value.faults)
    return caught.value.faults


def keys_of(found: list[str]) -> set[str]:
    return {fault.partition(": ")[0] for fault in found}


def faults_of_values(changes: dict[str, Any]) -> set[str]:
    """Return the keys that are wrong where values are given past the text of the file, which has bounds of its own."""
    values = changed(VALUES, changes)
    _, found = blocks_of(values)
    for name in VALUES["methods"]:
        try:
            checked(importlib.import_module(f"unlearning.methods.{name}").Config, values[name], Path(), f"{name}.")
        except Faults as error:
            found += error.faults
    assert all(len(fault) <= 180 and "\n" not in fault for fault in found)
    return keys_of(found)


@pytest.mark.parametrize("extreme", [10**30, -(10**30), 1e300, -1e300])
def test_every_number_has_a_lowest_and_a_highest_value(extreme: float) -> None:
    """All at once, and all are listed; a mean is one of a list."""
    assert set(NUMBERS) - faults_of_values(dict.fromkeys(NUMBERS, extreme)) == set()
    assert set(EMPTY) - faults_of_values(dict.fromkeys(EMPTY, extreme)) == set()


def test_every_list_has_a_longest() -> None:
    long = {key: [LEAVES[key][0] if LEAVES[key] else "a"] * 200_000 for key in LISTS}
    found = faults_of_values(long)
    assert [key for key in LISTS if not any(name.startswith(key) for name in found)] == []


@pytest.mark.parametrize("text", ["x" * 10_000, "a\0b", "a\nb", "\x1b[2J", "\ud800"])
def test_no_text_is_taken_that_no_name_can_be(text: str) -> None:
    assert set(TEXTS) - faults_of_values(dict.fromkeys(TEXTS, text)) == set()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("train.epochs", 10**9, "more would not end"),
        ("cu.omega", 10**9, "more would not end"),
        ("train.augment.padding", 4097, "out of sight"),
        ("data.image_size", 100_000, "larger ones fit into no network"),
        ("mutual_information.info_nce.held_out", 0.999, "a tenth is the least"),
        ("figures.neighbours", 10**9, "a figure has no room for more"),
        ("evaluate.layers", ["layer1", "layer1"], "name each layer once"),
        ("search.lr_max", 1e-9, "at least lr_min"),
        ("data.std", [0.0], "images are divided by it"),
        ("train.lr", 0, "learn nothing"),
        ("ec.tau", 0.0, "all is one class"),
        ("data.root", "a/" + "b" * 300, "no path is this long"),
        ("train.batch_size", 1, "BatchNorm needs 2"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_the_reason(
    tmp_path: Path, key: str, value: Any, reason: str
) -> None:
    [fault] = faults(tmp_path, {key: value})
    assert fault.startswith(f"{key}: ")
    assert reason in fault


def test_the_faults_of_all_blocks_are_listed_one_by_one_and_those_between_right_blocks_too(tmp_path: Path) -> None:
    changes = {
        "train.lr": -1,
        "ec.omega": 0,
        "idi.floor": "high",
        "headline": "rll",
        "seeds": [0, 1],
        "retrained.checkpoint": ["a", "b", "c"],
    }
    wanted = {"train.lr", "ec.omega", "idi.floor", "headline", "retrained.checkpoint"}
    assert keys_of(faults(tmp_path, changes)) == wanted


def test_of_a_list_with_very_many_wrong_values_the_first_few_are_told(tmp_path: Path) -> None:
    found = faults(tmp_path, {"ec.layer_weights": [-1.0] * 50})
    assert len(found) == 4
    assert found[-1] == "ec.layer_weights: 47 more of its values are wrong"
    found = faults(tmp_path, {"forget.classes": [1.5] * 1000})
    assert len(found) == 51
    assert found[-1].endswith(": so are 950 more values")
