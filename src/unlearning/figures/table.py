"""The tables of all models: original and retrained first, an arrow for the better direction."""

from collections.abc import Mapping

from unlearning.params import REFERENCES

Columns = dict[str, tuple[str, int]]
COLUMNS: Columns = {  # key of metrics/models/<model>.json: heading, decimals
    "forget_acc": ("FA ↓", 2),
    "retain_acc": ("RA ↑", 2),
    "test_forget_acc": ("TFA ↓", 2),
    "test_retain_acc": ("TRA ↑", 2),
    "cka": ("CKA ↓", 2),
    "idi": ("IDI → 0", 3),
    "idi_abs": ("IDI abs ↓", 3),
    "h_mean": ("H-Mean ↑", 2),
    "seconds": ("seconds ↓", 1),
}
COST_COLUMNS: Columns = {  # key of `cost` in metrics/details/<model>.json: heading, decimals
    "seconds": ("seconds", 1),
    "seconds_over_retraining": ("of retraining's time", 2),
    "steps": ("optimiser steps", 0),
    "samples": ("images with gradient", 0),
    "peak_memory_gb": ("peak memory, GB", 2),
}


def markdown_table(rows: Mapping[str, Mapping[str, float]], columns: Columns = COLUMNS) -> str:
    """Return a Markdown table, a row a model in the given order; columns that no model has are left out."""
    columns = {key: value for key, value in columns.items() if any(key in row for row in rows.values())}
    lines = [_line(["model", *(heading for heading, _ in columns.values())])]
    lines.append(_line([":---", *("---:" for _ in columns)]))
    for name, row in rows.items():
        label = f"*{name}*" if name in REFERENCES else name
        lines.append(_line([label, *(_cell(row.get(key), decimals) for key, (_, decimals) in columns.items())]))
    return "\n".join(lines) + "\n"


def _cell(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
