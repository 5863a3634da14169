"""Distances in units of the noise floor, against the division written out."""

import pytest

from tests.conftest import DROPPED
from tests.figures.summaries import summary
from unlearning.figures.floor import NO_RETRAINED, ONE_SEED, SHOWN, distances, floor_table, within
from unlearning.params import ANOTHER

UNIT = {
    "retrain_gap": 2.0,
    "js_divergence": 0.1,
    "idi_abs": 0.2,
    "cka_retrained__penultimate": 80.0,
    "linear_probe__gap": -5.0,
    "head_recovery__gap": 4.0,
}
ZERO = {
    "retrain_gap": 0.0,
    "js_divergence": 0.0,
    "idi_abs": 0.0,
    "cka_retrained__penultimate": 100.0,
    "linear_probe__gap": 0.0,
    "head_recovery__gap": 0.0,
}


def cells(table: str) -> dict[str, dict[str, str]]:
    header, _, *rows = [line[2:-2].split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {row[0].strip("*"): dict(zip(header, row, strict=True)) for row in rows}


def models_of(unit: dict, **methods: dict) -> dict:
    return {
        "original": summary(),
        "retrained": summary(**ZERO),
        ANOTHER: summary(**unit),
        **{name: summary(**numbers) for name, numbers in methods.items()},
    }


def test_a_distance_is_the_mean_over_the_seeds_of_each_ones_own() -> None:
    one = summary(**UNIT | {"linear_probe__gap": [-3.0, 3.0, 6.0], "cka_retrained__penultimate": [80.0, 90.0, 100.0]})
    found = distances(one)
    assert found["linear_probe"] == pytest.approx(4)  # of magnitudes: opposite signs do not cancel
    assert found["cka_retrained"] == pytest.approx(10)  # of the penultimate features
    assert found["retrain_gap"] == pytest.approx(2)
    assert list(found) == list(SHOWN)
    assert set(distances(summary(**ZERO)).values()) == {0.0}


def test_a_number_that_one_seed_lacks_is_no_distance() -> None:
    assert "idi_abs" not in distances(summary(idi_abs=[DROPPED, 0.1, 0.1]))


def test_each_cell_is_the_distance_over_that_of_another_retrained_model() -> None:
    numbers = {
        "retrain_gap": 5.0,
        "js_divergence": 0.05,
        "idi_abs": 0.2,
        "cka_retrained__penultimate": 60.0,
        "linear_probe__gap": 4.0,
        "head_recovery__gap": -5.0,
    }
    row = cells(floor_table(models_of(UNIT, cu=numbers)))["cu"]
    assert {key: row[column.heading] for key, column in SHOWN.items()} == {
        "retrain_gap": "2.5",
        "js_divergence": "**0.5**",
        "idi_abs": "**1.0**",  # as near as one retraining is to the other
        "cka_retrained": "2.0",
        "linear_probe": "**0.8**",
        "head_recovery": "1.2",
    }


def test_only_models_that_can_be_near_are_rows() -> None:
    """The retrained model is at 0 and the other one at 1 by construction."""
    table = floor_table(models_of(UNIT, cu={}))
    assert list(cells(table)) == ["original", "cu"]
    assert {value / distances(summary(**UNIT))[key] for key, value in distances(summary(**UNIT)).items()} == {1.0}


def test_a_unit_of_0_gives_no_ratio_and_nothing_but_0_lies_within() -> None:
    models = models_of(UNIT | {"linear_probe__gap": 0.0}, near=UNIT, exact=UNIT | {"linear_probe__gap": 0.0})
    table = floor_table(models)
    assert SHOWN["linear_probe"].heading not in table
    assert within(models) == "Within the noise floor in every column: exact."


def test_the_sentence_names_who_is_within_in_every_column() -> None:
    models = models_of(UNIT, near=UNIT, nearer=ZERO, far=UNIT | {"js_divergence": 0.11})
    assert within(models) == "Within the noise floor in every column: near, nearer."
    assert floor_table(models).rstrip().endswith(within(models))
    assert within(models_of(UNIT, far={})) == "Within the noise floor in every column: none."


def test_a_number_that_the_other_retrained_model_lacks_decides_nothing() -> None:
    models = models_of(UNIT | {"idi_abs": DROPPED}, near=UNIT | {"idi_abs": 9.0})
    assert within(models) == "Within the noise floor in every column: near."
    assert SHOWN["idi_abs"].heading not in floor_table(models)


def test_without_a_retrained_model_there_is_a_sentence_in_its_place() -> None:
    assert floor_table({"original": summary(1), "cu": summary(1)}) == NO_RETRAINED


def test_with_one_seed_there_is_a_sentence_in_its_place() -> None:
    assert floor_table({"original": summary(1), "retrained": summary(1), "cu": summary(1)}) == ONE_SEED
