from unlearning.figures.table import COLUMNS, COST_COLUMNS, markdown_table

METRICS = {
    "original": {"forget_acc": 99.0, "retain_acc": 98.765, "cka": 100.0, "idi": 1.0, "h_mean": 0.0, "seconds": 61.25},
    "retrained": {"forget_acc": 0.0, "retain_acc": 98.0, "cka": 5.5, "idi": 0.0, "h_mean": 96.0},
    "cu": {"forget_acc": 0.125, "retain_acc": 97.0, "cka": 43.21, "idi": -0.0625, "h_mean": 80.0, "seconds": 4.0},
}


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
    assert header == "| model | FA ↓ | RA ↑ | TFA ↓ | TRA ↑ | CKA ↓ | IDI → 0 | IDI abs ↓ | H-Mean ↑ | seconds ↓ |"
    assert [line.split(" | ")[0] for line in rows] == ["| cu", "| *retrained*", "| *original*"]


def test_the_cost_of_a_model_that_was_given_is_unknown() -> None:
    cost = {"original": {}, "cu": {"seconds": 1.25, "steps": 40, "samples": 5120, "device": "CPU"}}
    assert markdown_table(cost, COST_COLUMNS).splitlines()[2:] == [
        "| *original* | – | – | – |",
        "| cu | 1.2 | 40 | 5120 |",
    ]
