"""metrics/report.md: the tables of a run, one after the other, with what a reader must know of each."""

from collections.abc import Mapping
from typing import Any

from unlearning.figures.table import attack_table, cost_table, main_table, worst_table

Models = Mapping[str, Mapping[str, Any]]


def report(metrics: Models, details: Models) -> str:
    """Return the text: metrics and details of every model, in the order of the rows."""
    notes = "\n".join(f"- {name}: {note}" for name, one in details.items() for note in one["notes"])
    sections = {
        "What is left of the forgotten classes": main_table(metrics, details),
        "What brings them back": attack_table(details),
        "Retain classes hurt most": worst_table(details),
        "What it cost": cost_table(details),
        "Notes": (notes or "None.") + "\n",
    }
    return "\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
