"""Bad luck, tried: how often, and how each try ended.

`make test` tries each kind a few times, `make chaos` as often as docs/reliability.md says: there every try is written
down, and the document's table is made of what was. CHAOS in the environment is how many times as much as that.
"""

import json
import os
import sys
from collections import Counter
from enum import Enum
from pathlib import Path

from unlearning.figures.readme import between

CHAOS = float(os.environ.get("CHAOS", "0"))
TALLY = os.environ.get("CHAOS_TALLY")  # a file for the tries, a line each
BEGIN, END = "<!-- tried -->\n", "<!-- end of tried -->\n"


class Ended(Enum):
    """How a try may end; the heads of the table's columns."""

    SAME = "right all the same"
    TOLD = "told in one line"
    ELSE = "anything else"


_counts: Counter[tuple[str, Ended]] = Counter()


def tries(few: int, many: int) -> int:
    """Return how often to try: few in `make test`, many in `make chaos`."""
    return round(many * CHAOS) or few


def tried(kind: str, ended: Ended, times: int = 1) -> None:
    """Count how tries of a kind ended."""
    _counts[kind, ended] += times


def write_tally() -> None:
    """Append the counts of this process to the file that is asked for; in the end, as a test may forbid large files."""
    if TALLY:
        with Path(TALLY).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([kind, ended.name, times]) + "\n" for (kind, ended), times in _counts.items())


def counted(lines: list[str]) -> dict[str, Counter[Ended]]:
    """Return {kind: how often it ended how}, in the order of the alphabet."""
    found: dict[str, Counter[Ended]] = {}
    for line in lines:
        kind, ended, times = json.loads(line)
        found.setdefault(kind, Counter())[Ended[ended]] += times
    return dict(sorted(found.items()))


def table(found: dict[str, Counter[Ended]]) -> str:
    """Return the table, with a last line of sums."""
    sums: Counter[Ended] = sum(found.values(), Counter())
    rows = {**found, "**all**": sums}
    lines = [
        " | ".join([f"| {kind}", f"{sum(row.values()):,}", *(f"{row[ended]:,}" for ended in Ended)]) + " |"
        for kind, row in rows.items()
    ]
    head = " | ".join(["| what was tried", "tries", *(ended.value for ended in Ended)]) + " |"
    return "\n".join([head, "| :--- |" + " ---: |" * (1 + len(Ended)), *lines])


def put_into(document: Path, text: str) -> None:
    """Replace what stands between the marks of a document."""
    filled = between(document.read_text(encoding="utf-8"), BEGIN, END, f"{text}\n", document)
    document.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    put_into(Path(sys.argv[2]), table(counted(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())))
