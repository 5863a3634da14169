"""metrics/report.md: the tables of a run, one after the other, with what a reader must know of each."""

from collections.abc import Mapping

from unlearning.comparison.earlier import Earlier
from unlearning.figures.earlier import earlier_section
from unlearning.figures.floor import floor_table
from unlearning.figures.table import attack_table, by_samples, cost_table, held_out_table, main_table, worst_table
from unlearning.over_seeds import Summary

TITLES = {  # of the main and of the attack table, by whether samples were to be forgotten
    False: ("What is left of the forgotten classes", "What brings them back"),
    True: ("What is left of the forgotten images", "What else tells of them"),
}


TRADEOFF = "\nFigure: `plots/tradeoff.png`, H-Mean against the gap to the retrained model.\n"
NOT_TEST = (
    "**Judged on the {split} images** (`evaluate.split`): they stand wherever the text says test, and the test images "
    "were not looked at.\n\n"
)


def report(models: Mapping[str, Summary], earlier: Earlier | None = None, split: str = "test") -> str:
    """Return the text: every model, in the order of the rows; earlier: of classes erased before, if there are any.

    split: whose images stand in the place of the test images.
    """
    notes = "\n".join(
        dict.fromkeys(f"- {name}: {note}" for name, one in models.items() for note in one.details["notes"])
    )
    what, back = TITLES[by_samples(models)]
    sections = {
        what: main_table(models),
        "How near to the retrained model": floor_table(models) + TRADEOFF * ("retrained" in models),
        back: attack_table(models),
        **({"Classes erased before": earlier_section(earlier)} if earlier else {}),
        "Retain classes hurt most": worst_table(models),
        "Images held out to choose settings": held_out_table(models),
        "What it cost": cost_table(models),
        "Notes": (notes or "None.") + "\n",
    }
    head = "" if split == "test" else NOT_TEST.format(split=split)
    return head + "\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
