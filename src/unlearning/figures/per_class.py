"""metrics/per_class.csv: the test accuracy of every class under every model."""

import csv
from collections.abc import Mapping
from pathlib import Path

from unlearning.data.manifest import Manifest
from unlearning.over_seeds import Summary


def write_per_class(models: Mapping[str, Summary], manifest: Manifest, path: Path) -> None:
    """Write a row a class: name, part, and a column a model; mean percent, empty without test images.

    Parts: forget, retain, or erased before, of which `metrics/report.md` has numbers of its own.
    """
    parts = dict.fromkeys(manifest.forget_classes, "forget") | dict.fromkeys(manifest.erased_before, "erased before")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "part", *models])
        for label, name in enumerate(manifest.classes):
            values = [one.mean["test_acc_per_class"][label] for one in models.values()]
            cells = ["" if value is None else f"{value:.2f}" for value in values]
            writer.writerow([name, parts.get(label, "retain"), *cells])
