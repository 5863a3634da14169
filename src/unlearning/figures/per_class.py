"""metrics/per_class.csv: the test accuracy of every class under every model."""

import csv
from collections.abc import Mapping
from pathlib import Path

from unlearning.data.manifest import Manifest
from unlearning.over_seeds import Summary


def write_per_class(models: Mapping[str, Summary], manifest: Manifest, path: Path) -> None:
    """Write a row a class: name, forget or retain, and a column a model; mean percent, empty without test images."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "part", *models])
        for label, name in enumerate(manifest.classes):
            values = [one.mean["test_acc_per_class"][label] for one in models.values()]
            cells = ["" if value is None else f"{value:.2f}" for value in values]
            writer.writerow([name, "forget" if label in manifest.forget_classes else "retain", *cells])
