"""Training curves: one CSV row an epoch, declared to DVC as plots. No clock in it: equal runs give equal files."""

import csv
from pathlib import Path

from unlearning.files import write_atomically

Row = dict[str, float]


def write_curves(path: Path, rows: list[Row]) -> None:
    """Write the rows atomically; columns in the order in which rows first have them, a missing value is empty."""
    columns = list(dict.fromkeys(["epoch", "step", "lr", "loss", *(key for row in rows for key in row)]))

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)

    write_atomically(path, write)
