from typing import Any

from unlearning.figures.report import report
from unlearning.figures.table import (
    ATTACK_COLUMNS,
    COLUMNS,
    COST_COLUMNS,
    attack_table,
    cost_table,
    main_table,
    markdown_table,
    worst_table,
)

METRICS = {
    "original": {"forget_acc": 99.0, "retain_acc": 98.765, "cka": 100.0, "idi": 1.0, "h_mean": 0.0, "seconds": 61.25},
    "retrained": {"forget_acc": 0.0, "retain_acc": 98.0, "cka": 5.5, "idi": 0.0, "h_mean": 96.0},
    "cu": {"forget_acc": 0.125, "retain_acc": 97.0, "cka": 43.21, "idi": -0.0625, "h_mean": 80.0, "seconds": 4.0},
}


def details_of(**changes: Any) -> dict[str, Any]:
    return {
        "js_divergence": 0.25,
        "collapsed": False,
        "notes": [],
        "idi": {"std": None, "unsure": False},
        "linear_probe": {"all": {"forget": 60.0}, "small": {"forget": 30.0}},
        "head_recovery": {"forget": 50.0},
        "prototype": {"forget": {"1": 20.0, "20": 80.0}},
        "relearn": {"forget": {"1": 10.0, "20": 70.0}},
        "retain_only": {"forget": 1.5},
        "batchnorm": {"forget": 2.5},
        "membership": {"all": {"auc": 55.5, "low": 49.7, "high": 61.2}},
        "predictors": {"weight_distance": 0.123, "loss_barrier": -0.011},
        "collapse": {"forget": {"effective_rank": 12.34}},
        "calibration_error": 2.0,
        "worst_retain_classes": {"cat": 12.4, "dog": 3.0},
        "cost": {"seconds": 1.25, "steps": 40, "samples": 5120, "device": "CPU"},
        **changes,
    }


DETAILS = {name: details_of() for name in METRICS}


def test_references_are_italic_missing_values_a_dash_and_columns_that_no_model_has_left_out() -> None:
    assert markdown_table(METRICS) == (
        "| model | FA ↓ | RA ↑ | CKA ↓ | IDI → 0 | H-Mean ↑ | seconds ↓ |\n"
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| *original* | 99.00 | 98.77 | 100.00 | 1.000 | 0.00 | 61.2 |\n"
        "| *retrained* | 0.00 | 98.00 | 5.50 | 0.000 | 96.00 | – |\n"
        "| cu | 0.12 | 97.00 | 43.21 | -0.062 | 80.00 | 4.0 |\n"
    )


def test_rows_stand_in_the_given_order_and_columns_in_a_fixed_one() -> None:
    row = dict.fromkeys(reversed(COLUMNS), 1.0)
    header, _, *rows = markdown_table({"cu": row, "retrained": row, "original": row}).splitlines()
    assert header == f"| model | {' | '.join(heading for heading, _ in COLUMNS.values())} |"
    assert [line.split(" | ")[0] for line in rows] == ["| cu", "| *retrained*", "| *original*"]


def test_the_main_table_adds_divergence_and_the_deviation_over_critics() -> None:
    table = main_table(METRICS, DETAILS | {"cu": details_of(idi={"std": 0.0312, "unsure": False})})
    assert "JS ↓" in table
    assert "| -0.062 ± 0.031 |" in table
    assert "†" not in table
    assert "‡" not in table


def test_unsure_and_collapsed_rows_are_marked_and_the_marks_explained() -> None:
    marked = details_of(idi={"std": 0.5, "unsure": True}, collapsed=True)
    table = main_table(METRICS, DETAILS | {"cu": marked})
    assert "| 43.21‡ | -0.062 ± 0.500† |" in table
    assert "\n† IDI is unsure" in table
    assert "\n‡ The forget set's features have nearly collapsed" in table
    assert table.count("†") == table.count("‡") == 2  # the cell and the legend


def test_each_downstream_set_has_a_column_with_its_gap() -> None:
    knn = {name: row | {"knn": {"birds": 44.04}, "knn_gap": {"birds": 6.0}} for name, row in METRICS.items()}
    header, _, first, *_ = main_table(knn, DETAILS).splitlines()
    assert " | IDI → 0 | k-NN birds (gap ↓) | H-Mean ↑ | " in header
    assert "| 44.0 (6.0) |" in first


def test_the_attack_table_has_a_column_for_each_number_of_images_and_intervals() -> None:
    header, _, first, *_ = attack_table(DETAILS).splitlines()
    begin = "| model | linear probe | probe, few images | head recovery | prototype, 1 image | prototype, 20 images | "
    attacks = "relearned, 1 image | relearned, 20 images | retain images only | BatchNorm | "
    assert header.startswith(begin + attacks + "MIA, AUC")
    row = "60.0 | 30.0 | 50.0 | 20.0 | 80.0 | 10.0 | 70.0 | 1.5 | 2.5 | 55.5 [50, 61] | 12.3 | 2.0"
    assert first == f"| *original* | {row} |"
    assert "LiRA" not in header
    assert ATTACK_COLUMNS["lira"][0] in attack_table({"cu": details_of(lira={"auc": 50.0, "low": 40.0, "high": 60.0})})


def test_without_few_shot_attacks_or_membership_their_columns_are_left_out() -> None:
    table = attack_table({"cu": details_of(prototype={"forget": {}}, relearn={"forget": {}}, membership=None)})
    assert "relearned" not in table
    assert "prototype" not in table
    assert "MIA" not in table


def test_the_worst_hurt_classes_are_listed_for_all_but_the_original() -> None:
    assert worst_table(DETAILS).splitlines()[2:] == ["| *retrained* | cat 12, dog 3 |", "| cu | cat 12, dog 3 |"]


def test_the_cost_of_a_model_that_was_given_is_unknown() -> None:
    cost = {"original": {}, "cu": DETAILS["cu"]["cost"]}
    rows = ["| *original* | – | – | – |", "| cu | 1.2 | 40 | 5120 |"]
    assert markdown_table(cost, COST_COLUMNS).splitlines()[2:] == rows
    assert cost_table({name: {"cost": one} for name, one in cost.items()}).splitlines()[2:] == rows


def test_the_report_holds_every_table_and_every_note_with_its_model() -> None:
    text = report(METRICS, DETAILS | {"cu": details_of(notes=["collapsed: so"])})
    for table in (attack_table(DETAILS), worst_table(DETAILS), cost_table(DETAILS)):
        assert table in text
    assert "\n- cu: collapsed: so\n" in text
    assert text.count("## ") == 5
    assert "## Notes\n\nNone.\n" in report(METRICS, DETAILS)
