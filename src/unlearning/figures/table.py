"""Markdown tables of all models: original and retrained first, an arrow for the better direction."""

from collections.abc import Mapping
from typing import Any

from unlearning.params import REFERENCES

Cell = float | str | None
Columns = dict[str, tuple[str, int]]  # key: heading, decimals
UNSURE, COLLAPSED = "†", "‡"
COLUMNS: Columns = {  # key of metrics/models/<model>.json, or of what `main_table` adds from the details
    "forget_acc": ("FA ↓", 2),
    "retain_acc": ("RA ↑", 2),
    "test_forget_acc": ("TFA ↓", 2),
    "test_retain_acc": ("TRA ↑", 2),
    "cka": ("CKA ↓", 2),
    "idi": ("IDI → 0", 3),
    "idi_abs": ("IDI abs ↓", 3),
    "h_mean": ("H-Mean ↑", 2),
    "retrain_gap": ("gap to retrained ↓", 2),
    "js_divergence": ("JS ↓", 3),
    "seconds": ("seconds ↓", 1),
}
ATTACK_COLUMNS: Columns = {  # all but the last two: forget accuracy that comes back, or an AUC; read beside retrained's
    "linear_probe": ("linear probe", 1),
    "small_probe": ("probe, few images", 1),
    "head_recovery": ("head recovery", 1),
    "retain_only": ("retain images only", 1),
    "batchnorm": ("BatchNorm", 1),
    "mia_auc": ("MIA, AUC", 1),
    "lira": ("LiRA, AUC", 1),
    "effective_rank": ("effective rank", 1),
    "calibration_error": ("ECE ↓", 1),
}
ATTACK_CURVES = {"prototype": "prototype", "relearn": "relearned"}  # with a column for each number of images
COST_COLUMNS: Columns = {  # key of `cost` in metrics/details/<model>.json
    "seconds": ("seconds", 1),
    "seconds_over_retraining": ("of retraining's time", 2),
    "steps": ("optimiser steps", 0),
    "samples": ("images with gradient", 0),
    "peak_memory_gb": ("peak memory, GB", 2),
}
LEGEND = {
    UNSURE: "IDI is unsure: its critics' held-out and training estimates differ by more than a tenth of H(Y).",
    COLLAPSED: "The forget set's features have nearly collapsed: a low CKA says no more than that.",
}


def main_table(metrics: Mapping[str, Mapping[str, Any]], details: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of metrics/models, with what the details add: deviations, divergence, marks and their legend."""
    rows = {name: _main_row(row, details[name]) for name, row in metrics.items()}
    table = markdown_table(rows, _with_knn(COLUMNS, metrics))
    legend = [f"{mark} {text}" for mark, text in LEGEND.items() if mark in table]
    return table + "".join(f"\n{line}\n" for line in legend)


def attack_table(details: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of what brings the classes back, and of the diagnostics beside it."""
    first = next(iter(details.values()))
    curves = {
        f"{key}.{k}": (f"{heading}, {k} image{'s' * (k != '1')}", 1)
        for key, heading in ATTACK_CURVES.items()
        for k in first[key]["forget"]
    }
    head, tail = dict(list(ATTACK_COLUMNS.items())[:3]), dict(list(ATTACK_COLUMNS.items())[3:])
    return markdown_table({name: _attack_row(one) for name, one in details.items()}, head | curves | tail)


def cost_table(details: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of what training or unlearning took."""
    return markdown_table({name: one["cost"] for name, one in details.items()}, COST_COLUMNS)


def worst_table(details: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of the retain classes that lost most test accuracy under each method, in points."""
    rows: dict[str, dict[str, Cell]] = {
        name: {"worst": ", ".join(f"{label} {lost:.0f}" for label, lost in one["worst_retain_classes"].items())}
        for name, one in details.items()
        if name != "original"
    }
    return markdown_table(rows, {"worst": ("points of test accuracy lost to the original, worst first", 0)})


def markdown_table(rows: Mapping[str, Mapping[str, Cell]], columns: Columns = COLUMNS) -> str:
    """Return a Markdown table, a row a model in the given order; columns that no model has are left out."""
    columns = {key: value for key, value in columns.items() if any(row.get(key) is not None for row in rows.values())}
    lines = [_line(["model", *(heading for heading, _ in columns.values())])]
    lines.append(_line([":---", *("---:" for _ in columns)]))
    for name, row in rows.items():
        label = f"*{name}*" if name in REFERENCES else name
        lines.append(_line([label, *(_cell(row.get(key), decimals) for key, (_, decimals) in columns.items())]))
    return "\n".join(lines) + "\n"


def _main_row(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Cell]:
    row: dict[str, Cell] = {key: value for key, value in metrics.items() if not isinstance(value, dict)}
    for name, value in metrics.get("knn", {}).items():
        row[f"knn.{name}"] = f"{value:.1f} ({metrics['knn_gap'][name]:.1f})"
    row["js_divergence"] = details["js_divergence"]
    if details["collapsed"]:
        row["cka"] = f"{metrics['cka']:.2f}{COLLAPSED}"
    if "idi" in metrics:
        std, unsure = details["idi"]["std"], details["idi"]["unsure"]
        row["idi"] = f"{metrics['idi']:.3f}" + (f" ± {std:.3f}" if std is not None else "") + (UNSURE if unsure else "")
    return row


def _with_knn(columns: Columns, metrics: Mapping[str, Mapping[str, Any]]) -> Columns:
    """Return the columns with one for each downstream set, before the summaries."""
    sets = list(dict.fromkeys(name for row in metrics.values() for name in row.get("knn", {})))
    knn = {f"knn.{name}": (f"k-NN {name} (gap ↓)", 1) for name in sets}
    before = list(columns).index("h_mean")
    items = list(columns.items())
    return dict(items[:before]) | knn | dict(items[before:])


def _attack_row(details: Mapping[str, Any]) -> dict[str, Cell]:
    probe = details["linear_probe"]
    row: dict[str, Cell] = {
        "linear_probe": probe["all"]["forget"],
        "small_probe": probe["small"]["forget"],
        "head_recovery": details["head_recovery"]["forget"],
        "retain_only": details["retain_only"]["forget"],
        "batchnorm": details["batchnorm"]["forget"],
        "effective_rank": details["collapse"]["forget"]["effective_rank"],
        "calibration_error": details["calibration_error"],
    }
    for key in ATTACK_CURVES:
        row |= {f"{key}.{k}": value for k, value in details[key]["forget"].items()}
    attacks = {"mia_auc": (details["membership"] or {}).get("all"), "lira": details.get("lira")}
    return row | {key: _interval(auc) for key, auc in attacks.items()}


def _interval(auc: Mapping[str, float] | None) -> str | None:
    return None if auc is None else f"{auc['auc']:.1f} [{auc['low']:.0f}, {auc['high']:.0f}]"


def _cell(value: Cell, decimals: int) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.{decimals}f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
