"""Training curves: one CSV row an epoch and seed, declared to DVC as plots. No clock in it: equal runs, equal files."""

import csv
from pathlib import Path

from unlearning.files import write_atomically

Row = dict[str, float]


def write_curves(path: Path, rows: dict[int, list[Row]]) -> None:
    """Write {seed: rows} atomically; columns in the order in which rows first have them, a missing value is empty."""
    found = dict.fromkeys(key for of_seed in rows.values() for row in of_seed for key in row)
    columns = list(dict.fromkeys(["seed", "epoch", "step", "lr", "loss", *found]))

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for seed, of_seed in rows.items():
                writer.writerows({"seed": str(seed), **_rounded(row)} for row in of_seed)

    write_atomically(path, write)


def _rounded(row: Row) -> dict[str, str]:
    return {key: f"{value:.6g}" for key, value in row.items()}
