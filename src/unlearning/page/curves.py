"""The lines of the page's charts: layers and attacks, and what training and unlearning logged."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearning.figures.table import by_samples
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER
from unlearning.read_back import LARGEST, finite, require_file
from unlearning.records.chain import making

LOGS = Path("plots/curves")
Line = list[float | None]
AXES = ("seed", "epoch", "step")  # columns of a log that are no curve
DIGITS = 5  # significant ones: what a screen can show


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    says: str  # what to look for
    x_title: str
    y_title: str
    x: list[str]
    lines: dict[str, Line]  # {model: a value for each x}
    spread: dict[str, Line]  # standard deviations over the seeds; empty for one


def charts(models: Mapping[str, Summary]) -> list[Chart]:
    """Return the charts in which each model is a line; those without any number are left out."""
    drawn = {name: one for name, one in models.items() if name != ANOTHER}
    found = [_cka(drawn), _attack(drawn, "prototype"), _attack(drawn, "relearn")]
    return [chart for chart in found if any(value is not None for line in chart.lines.values() for value in line)]


def _cka(models: Mapping[str, Summary]) -> Chart:
    layers = list(next(iter(models.values())).mean["cka_layers"])
    return Chart(
        "cka",
        "CKA to the original, layer by layer",
        f"{'The erased images' if by_samples(models) else 'Test images of the erased classes'}. 100: the layer's "
        "features are the original's.",
        "layer, from input to output",
        "CKA to the original, %",
        layers,
        {name: [rounded(one.mean["cka_layers"].get(layer)) for layer in layers] for name, one in models.items()},
        {
            name: [rounded(one.std["cka_layers"].get(layer)) for layer in layers]
            for name, one in models.items()
            if one.std
        },
    )


ATTACKS = {
    "prototype": (
        "Accuracy given back by imprinting, nothing trained",
        "Head rows of the erased classes are written from a few of their images. Read each line beside the retrained "
        "model's: what it has, a model that never saw the classes has too.",
    ),
    "relearn": (
        "Accuracy given back by fine-tuning on a few images",
        "From the strongest start, at the strongest rate. Read each line beside the retrained model's: it learns the "
        "classes from the same few images.",
    ),
}


def _attack(models: Mapping[str, Summary], attack: str) -> Chart:
    title, says = ATTACKS[attack]
    shots = list(next(iter(models.values())).mean[attack]["forget"] or {})

    def line(details: Mapping[str, Any]) -> Line:
        found = {"0": (details.get("judged") or {}).get("forget"), **(details[attack]["forget"] or {})}
        return [rounded(found.get(k)) for k in ["0", *shots]]

    return Chart(
        attack,
        title,
        says,
        "training images of each erased class",
        "accuracy given back, %",
        ["0", *shots],
        {name: line(one.mean) for name, one in models.items()},
        {name: line(one.std) for name, one in models.items() if one.std},
    )


def logs(names: Iterable[str]) -> dict[str, dict[str, dict[str, Line]]]:
    """Return {model: {seed: {column: values}}} of plots/curves/<model>.csv, for those that are there."""
    paths = {name: LOGS / f"{name}.csv" for name in names}
    found = {name: read_log(path) for name, path in paths.items() if path.is_file()}
    return {name: log for name, log in found.items() if log}


def read_log(path: Path) -> dict[str, dict[str, Line]]:
    """Return {seed: {column: values}} of one log; an empty field is None. Raises InputError for what is no log."""
    origin = replace(making(path.stem), what="the log of a training")
    require_file(path, origin, LARGEST)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return _columns(csv.DictReader(file, strict=True))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        origin.refuse(path, f"{type(error).__name__}: {ascii(error)}")


def _columns(rows: Iterable[dict[str, str]]) -> dict[str, dict[str, Line]]:
    found: dict[str, dict[str, Line]] = {}
    for row in rows:
        own = found.setdefault(row["seed"], {})
        for key, text in row.items():
            if key != "seed":
                own.setdefault(key, []).append(rounded(finite(text)) if text else None)
    return found


def rounded(value: float | None) -> float | None:
    """Return a number with few digits: a page of 1,000 classes is mostly digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")
