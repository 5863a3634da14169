from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import DROPPED
from tests.figures.summaries import METRICS, summary
from unlearning.figures.report import report
from unlearning.figures.table import (
    ATTACK_COLUMNS,
    BOLD,
    COLUMNS,
    NONE_HELD_OUT,
    ONE_SEED,
    Column,
    attack_table,
    cost_table,
    held_out_table,
    main_table,
    markdown_table,
    short_table,
    worst_table,
)
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER, CONTROLS

Models = dict[str, Summary]


def models_of(seeds: int = 3, **methods: dict[str, Any]) -> Models:
    """Return the references, the noise floor where there are seeds for it, and the methods with these numbers."""
    rows = {
        "original": summary(seeds, forget_acc=99.0, h_mean=0.0, idi=1.0, cka=100.0),
        "retrained": summary(seeds, forget_acc=0.0, test_retain_acc=96.0, idi=0.0, retrain_gap=0.0, h_mean=90.0),
    }
    if seeds > 1:
        rows[ANOTHER] = summary(seeds, forget_acc=0.0, h_mean=95.0, idi=0.0)
    return rows | {name: summary(seeds, **numbers) for name, numbers in methods.items()}


def cells(table: str) -> dict[str, dict[str, str]]:
    """Return {row: {heading: cell}}, a row's name as it is written."""
    header, _, *rows = [line[2:-2].split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def bold(table: str, heading: str) -> set[str]:
    """Return the rows whose cell in a column is bold."""
    rows = cells(table).items()
    return {name.removesuffix(" (audited)") for name, row in rows if row[heading].startswith("**")}


def test_references_are_italic_controls_named_missing_values_a_dash_and_empty_columns_left_out() -> None:
    columns = {key: Column(key.upper(), 1) for key in "abc"}
    rows = {
        "original": {"a": "1", "b": None},
        ANOTHER: {"a": None},
        CONTROLS[0]: {"b": "2"},
        "cu": {"a": "3", "b": "**4**", "c": None},
        "vendor": {"a": "5"},
    }
    assert markdown_table(rows, columns) == (
        "| model | A | B |\n"
        "| :--- | ---: | ---: |\n"
        "| *original* | 1 | – |\n"
        f"| *{ANOTHER}* | – | – |\n"
        f"| {CONTROLS[0]} (control) | – | 2 |\n"
        "| cu | 3 | **4** |\n"
        "| vendor (audited) | 5 | – |\n"
    )


def test_rows_stand_in_the_given_order_and_columns_in_a_fixed_one() -> None:
    models = models_of(cu={}, ec={})
    header, _, *rows = [line for line in main_table(models).splitlines() if line.startswith("|")]
    assert header == f"| model | {' | '.join(column.heading for column in COLUMNS.values())} |"
    names = ["*original*", "*retrained*", f"*{ANOTHER}*", "cu", "ec"]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == names


def test_cells_hold_mean_and_deviation_over_the_seeds() -> None:
    table = main_table(models_of(cu={"cka": [40.0, 50.0, 60.0], "js_divergence": [0.1, 0.2, 0.3], "idi": [0.5] * 3}))
    row = cells(table)["cu"]
    assert row["CKA ↓"].strip("*") == "50.0 ± 10.0"
    assert row["JS ↓"].strip("*") == "0.20 ± 0.10"
    assert row["IDI → 0"].strip("*") == "0.50 ± 0.00"


def test_one_seed_has_no_deviation_no_bold_and_one_sentence() -> None:
    for table in (main_table(models_of(seeds=1, cu={})), report(models_of(seeds=1, cu={}))):
        assert "±" not in table
        assert "**" not in table
        assert table.count(ONE_SEED) == 1
        assert "Bold:" not in table
    assert cells(main_table(models_of(seeds=1, cu={"cka": 43.21})))["cu"]["CKA ↓"] == "43.2"
    assert ONE_SEED not in main_table(models_of(cu={}))
    assert main_table(models_of(cu={})).count(BOLD.format(gold="retrained", utility="TRA")) == 1
    without = {name: one for name, one in models_of(cu={}).items() if name not in ("retrained", ANOTHER)}
    assert main_table(without).count(BOLD.format(gold="original", utility="TRA")) == 1


def test_bold_is_the_best_of_what_forgets_and_keeps_utility_and_never_a_reference_or_a_control() -> None:
    near = [0.0, 0.01, 0.02]

    def around(value: float) -> list[float]:
        return [value + shift for shift in near]

    table = main_table(
        models_of(
            good={"h_mean": around(60.0), "cka": around(40.0)},
            worse={"h_mean": around(50.0), "cka": [value + 5 for value in (40.3, 39.9, 40.2)]},
            remembers={"h_mean": around(80.0), "cka": around(10.0), "forget_acc": 1.1},
            useless={"h_mean": around(81.0), "cka": around(9.0), "test_retain_acc": 90.9},
            **{CONTROLS[0]: {"h_mean": around(82.0), "cka": around(8.0)}},
        )
    )
    assert bold(table, "H-Mean ↑") == {"good"}
    assert bold(table, "CKA ↓") == {"good"}


def test_what_the_test_cannot_tell_from_the_best_is_bold_too() -> None:
    table = main_table(
        models_of(
            best={"h_mean": [60.0, 70.0, 80.0]},
            tied={"h_mean": [61.0, 65.0, 79.0]},
            told_apart={"h_mean": [59.0, 69.1, 79.0]},
        )
    )
    assert bold(table, "H-Mean ↑") == {"best", "tied"}


def test_the_best_idi_is_the_one_nearest_to_0_in_each_seed() -> None:
    table = main_table(
        models_of(
            negative={"idi": [-0.9, -0.91, -0.92]},
            cancels={"idi": [-0.8, 0.8, 0.79]},
            nearest={"idi": [-0.05, 0.06, -0.05]},
        )
    )
    assert bold(table, "IDI → 0") == {"nearest"}


def test_a_column_in_which_nobody_competes_has_no_bold() -> None:
    assert "**" not in main_table(models_of(cu={"forget_acc": 50.0}, ec={"test_retain_acc": 10.0}))


def test_a_method_without_a_number_loses_only_that_column() -> None:
    table = main_table(models_of(cu={"seconds": DROPPED}, ec={"seconds": [3.0, 3.1, 3.2]}))
    assert cells(table)["cu"]["seconds ↓"] == "–"
    assert bold(table, "seconds ↓") == {"ec"}


def test_unsure_and_collapsed_rows_are_marked_and_the_marks_explained() -> None:
    models = models_of(seeds=1, cu={"idi": -0.0625, "cka": 43.21})
    plain = main_table(models)
    assert "†" not in plain
    assert "‡" not in plain
    models["cu"].details["mean"] |= {"collapsed": True, "idi": {"unsure": True}}
    table = main_table(models)
    assert cells(table)["cu"]["CKA ↓"] == "43.2‡"
    assert cells(table)["cu"]["IDI → 0"] == "-0.06†"
    assert "\n† IDI is unsure" in table
    assert "\n‡ The forget set's features have nearly collapsed" in table
    assert table.count("†") == table.count("‡") == 2  # the cell and the legend


def test_one_collapsed_seed_marks_the_row() -> None:
    assert cells(main_table(models_of(cu={"collapsed": [False, True, False]})))["cu"]["CKA ↓"].endswith("‡")


def test_each_downstream_set_has_a_column_with_its_gap() -> None:
    knn = [{"birds": value} for value in (43.0, 44.0, 45.0)]
    gap = [{"birds": value} for value in (5.0, 6.0, 7.0)]
    table = main_table({name: summary(knn=knn, knn_gap=gap) for name in ("original", "retrained", "cu")})
    header, _, first, *_ = table.splitlines()
    assert " | IDI abs ↓ | k-NN birds (gap ↓) | H-Mean ↑ | " in header
    assert "| 44.0 ± 1.0 (6.0) |" in first


def test_the_attack_table_has_a_column_for_each_number_of_images() -> None:
    table = attack_table(models_of(cu={"linear_probe__all__forget": [50.0, 60.0, 70.0]}))
    row = cells(table)["cu"]
    assert row["linear probe"] == "60.0 ± 10.0"
    assert (row["relearned, 1 image"], row["relearned, 20 images"]) == ("10.0 ± 0.0", "70.0 ± 0.0")
    assert ATTACK_COLUMNS["lira"].heading not in table
    with_lira = summary(lira=[{"auc": auc, "low": 40.0, "high": 60.0} for auc in (49.0, 50.0, 51.0)])
    assert cells(attack_table({"cu": with_lira}))["cu"][ATTACK_COLUMNS["lira"].heading] == "50.0 ± 1.0"


def test_the_attack_table_of_one_seed_has_no_deviation() -> None:
    assert "±" not in attack_table(models_of(seeds=1, cu={}))


def test_without_relearning_or_membership_their_columns_are_left_out() -> None:
    table = attack_table({"cu": summary(relearn={"forget": {}, "gap": {}}, membership=None)})
    assert "relearned" not in table
    assert ATTACK_COLUMNS["mia_auc"].heading not in table


def test_the_worst_hurt_classes_are_listed_for_all_but_the_original() -> None:
    rows = worst_table(models_of(cu={})).splitlines()[2:]
    assert rows == ["| *retrained* | cat 12, dog 3 |", "| cu | cat 12, dog 3 |"]


def test_the_cost_of_a_model_that_was_given_is_unknown() -> None:
    models = models_of(cu={"cost": [{"seconds": 1.0, "steps": 40}, {"seconds": 2.0, "steps": 40}, {"seconds": 3.0}]})
    models["original"] = summary(cost={})
    table = cells(cost_table(models))
    assert list(table) == ["*original*", "*retrained*", "cu"]  # another retrained model is no model of its own
    assert set(table["*original*"].values()) - {"*original*"} == {"–"}
    assert table["cu"]["seconds"] == "2.0"
    assert table["*retrained*"]["optimiser steps"] == "40"


def test_the_report_holds_every_table_and_every_note_once_with_its_model() -> None:
    models = models_of(cu={"notes": [["collapsed: so"], [], []]}, ec={})
    text = report(models)
    for table in (main_table(models), attack_table(models), worst_table(models), cost_table(models)):
        assert table in text
    assert text.count("\n- cu: seed 0: collapsed: so\n") == 1
    assert "## Notes\n\nNone.\n" in report(models_of(ec={}))


@pytest.mark.parametrize("key", METRICS)
def test_every_metric_has_a_column(key: str) -> None:
    assert key in COLUMNS


def test_images_held_out_have_their_own_table_or_a_word() -> None:
    models = models_of(cu={"validation__validation_forget_acc": [1.0, 2.0, 3.0]})
    assert cells(held_out_table(models))["cu"] == {
        "model": "cu",
        "forget accuracy": "2.0 ± 1.0",
        "retain accuracy": "91.0 ± 0.0",
    }
    assert held_out_table(models_of(seeds=1, cu={})).count("±") == 0
    none = {
        name: replace(one, details={**one.details, "mean": {**one.mean, "validation": {}}})
        for name, one in models.items()
    }
    assert held_out_table(none) == NONE_HELD_OUT


def test_the_short_table_has_who_forgets_and_keeps_utility_and_names_the_others() -> None:
    models = models_of(
        cu={"forget_acc": 0.0, "relearn__forget__20": 33.0, "cost__seconds_over_retraining": 0.25},
        pl={"forget_acc": 9.0},
        ga={"forget_acc": 0.0, "test_retain_acc": 50.0},
    )
    models[CONTROLS[0]] = summary(forget_acc=0.0)
    table = cells(short_table(models))
    assert list(table) == ["*original*", "*retrained*", f"*{ANOTHER}*", "cu", f"{CONTROLS[0]} (control)"]
    assert table["cu"]["relearned, 20 images"] == "33.0 ± 0.0"
    assert table["cu"]["of retraining's time"] == "0.25"
    assert short_table(models).endswith("lose more than 5 points of utility: pl, ga.\n")
