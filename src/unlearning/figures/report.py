"""metrics/report.md: the tables of a run, one after the other, with what a reader must know of each."""

from collections.abc import Mapping

from unlearning.figures.floor import floor_table
from unlearning.figures.table import attack_table, cost_table, held_out_table, main_table, worst_table
from unlearning.over_seeds import Summary


def report(models: Mapping[str, Summary]) -> str:
    """Return the text: every model, in the order of the rows."""
    notes = "\n".join(
        dict.fromkeys(f"- {name}: {note}" for name, one in models.items() for note in one.details["notes"])
    )
    sections = {
        "What is left of the forgotten classes": main_table(models),
        "How near to the retrained model": floor_table(models),
        "What brings them back": attack_table(models),
        "Retain classes hurt most": worst_table(models),
        "Images held out to choose settings": held_out_table(models),
        "What it cost": cost_table(models),
        "Notes": (notes or "None.") + "\n",
    }
    return "\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
