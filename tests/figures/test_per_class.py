import csv
from dataclasses import replace
from pathlib import Path

from tests.figures.summaries import summary
from unlearning.data.manifest import Manifest
from unlearning.figures.per_class import write_per_class


def test_there_is_a_row_a_class_and_a_column_a_model(manifest: Manifest, tmp_path: Path) -> None:
    models = {
        "original": summary(
            2, test_acc_per_class=[[100.0, 91.0, 80.0, 70.0, 60.0, None], [100.0, 89.0, 80, 70, 60, None]]
        ),
        "cu": summary(2, test_acc_per_class=[[99.999, 0.0, 80.0, 70.0, 0.0, None]] * 2),
    }
    write_per_class(models, replace(manifest, erased_before=[5]), tmp_path / "out.csv")
    rows = list(csv.reader((tmp_path / "out.csv").open(newline="")))
    assert rows[:3] == [
        ["class", "part", "original", "cu"],
        ["ant", "retain", "100.00", "100.00"],
        ["bee", "forget", "90.00", "0.00"],
    ]
    assert [row[1] for row in rows[1:]] == ["retain", "forget", "retain", "retain", "forget", "erased before"]
    assert rows[6] == ["fox", "erased before", "", ""]
