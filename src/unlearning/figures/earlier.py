"""The part of metrics/report.md about classes that earlier requests erased."""

from unlearning.comparison.earlier import Earlier
from unlearning.figures.table import DIAGNOSTICS, Column, Columns, attack_columns, attack_numbers, table_of_numbers
from unlearning.over_seeds import Summary, flat

NOT_MEASURED = "No image of {classes} is left: whether they stay erased was not measured.\n"
INTRODUCTION = (
    "Erased by earlier requests: {classes}. No image of them was trained on. `original` is the model as it was given; "
    "what stands above its row, and above retrained's where there is one, has come back."
)


def earlier_section(earlier: Earlier) -> str:
    """Return the table of what is left of these classes, with what to read it by."""
    classes = ", ".join(earlier.classes)
    if not earlier.models:
        return NOT_MEASURED.format(classes=classes)
    rows = {name: earlier_numbers(one) for name, one in earlier.models.items()}
    return f"{INTRODUCTION.format(classes=classes)}\n\n{table_of_numbers(rows, earlier_columns(earlier))}"


def earlier_columns(earlier: Earlier) -> Columns:
    """Return the accuracies on these classes, and what attacks give back of them."""
    attacks = attack_columns(earlier.models)
    accuracies = {"forget_acc": Column("FA", 1), "test_forget_acc": Column("TFA", 1)}
    return accuracies | {key: column for key, column in attacks.items() if key not in DIAGNOSTICS}


def earlier_numbers(one: Summary) -> tuple[dict[str, object], dict[str, object]]:
    """Return the numbers of a row: means, and deviations."""
    return flat(one.metrics) | attack_numbers(one.mean), flat(one.spread) | attack_numbers(one.std)
