"""The tables of the page: the columns and texts of metrics/report.md, each cell with its number to sort by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unlearning.figures.floor import SHOWN, apart
from unlearning.figures.table import (
    COST_COLUMNS,
    HELD_OUT_COLUMNS,
    Column,
    Columns,
    Row,
    attack_columns,
    attack_numbers,
    best_rows,
    by_samples,
    cell_text,
    main_columns,
    main_numbers,
    marks_of,
    over_several_seeds,
)
from unlearning.over_seeds import Summary
from unlearning.page.glossary import name_of, term_of
from unlearning.params import ANOTHER, CONTROLS, REFERENCES, is_audited

Models = Mapping[str, Summary]
Kind = Literal["reference", "floor", "control", "method", "audited"]
WIDE = 9  # columns: tables are printed across the sheet where one has more, else all sheets would be scaled to it


@dataclass(frozen=True)
class Heading:
    key: str
    text: str
    term: str  # of the glossary
    name: str  # in words


@dataclass(frozen=True)
class Cell:
    key: str
    text: str  # "–" where there is no number
    value: float | None
    best: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """A row: one model."""

    model: str
    kind: Kind
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    headings: list[Heading]
    lines: list[Line]

    @property
    def wide(self) -> bool:
        """Whether it needs the long side of a sheet."""
        return len(self.headings) > WIDE


def kind_of(name: str) -> Kind:
    """Return what a row is: a reference, the noise floor, a control, a method, or a model made elsewhere."""
    kinds: dict[str, Kind] = {ANOTHER: "floor"}
    kinds.update(dict.fromkeys(REFERENCES, "reference"))
    kinds.update(dict.fromkeys(CONTROLS, "control"))
    return kinds.get(name, "audited" if is_audited(name) else "method")


def main_numbers_table(models: Models) -> Table:
    """Return what stands in metrics/models, and the divergence; the best in bold, as in the report."""
    columns = _with_gaps(main_columns(models))
    best = best_rows(models, columns) if over_several_seeds(models) else {}
    rows = {name: main_numbers(one) for name, one in models.items()}
    marks = {name: marks_of(one) for name, one in models.items()}
    title = f"What is left of the erased {'images' if by_samples(models) else 'classes'}"
    return table_of("numbers", title, rows, columns, best, marks)


def attack_numbers_table(models: Models) -> Table:
    """Return what brings the classes back."""
    rows = {name: (attack_numbers(one.mean), attack_numbers(one.std)) for name, one in models.items()}
    title = "What else tells of the erased images" if by_samples(models) else "What brings the erased classes back"
    return table_of("attacks", title, rows, attack_columns(models))


def floor_numbers_table(models: Models) -> Table | None:
    """Return the distances to the retrained model over those of another one; None where there is none."""
    if ANOTHER not in models:
        return None
    units, others = apart(models)
    rows: dict[str, Row] = {
        name: ({key: value / units[key] for key, value in own.items() if units.get(key)}, {})
        for name, own in others.items()
    }
    inside = {key: [name for name, (own, _) in rows.items() if own.get(key, 2.0) <= 1] for key in SHOWN}
    return table_of("floor", "How near to the retrained model", rows, SHOWN, inside)


def held_out_numbers_table(models: Models) -> Table:
    """Return the accuracies on the images held out to choose settings; without rows where there are none."""
    rows: dict[str, Row] = {
        name: (one.mean["validation"], one.std.get("validation", {})) for name, one in models.items()
    }
    known = {name: row for name, row in rows.items() if row[0]}
    return table_of("held-out", "Images held out to choose settings", known, HELD_OUT_COLUMNS)


def cost_numbers_table(models: Models) -> Table:
    """Return what training or unlearning took."""
    rows: dict[str, Row] = {name: (one.mean["cost"], {}) for name, one in models.items() if name != ANOTHER}
    return table_of("cost", "What it cost to make each model", rows, COST_COLUMNS)


def _with_gaps(columns: Columns) -> Columns:
    """The report has a set's gap in brackets; here each number is a cell."""
    found: Columns = {}
    for key, column in columns.items():
        topic, _, name = key.partition(".")
        if topic == "knn":
            found[key] = column._replace(heading=f"k-NN {name}")
            found[f"knn_gap.{name}"] = Column(f"k-NN gap {name} ↓", 1)
        else:
            found[key] = column
    return found


def table_of(
    name: str,
    title: str,
    rows: Mapping[str, Row],
    columns: Columns,
    best: Mapping[str, list[str]] | None = None,
    marks: Mapping[str, dict[str, str]] | None = None,
) -> Table:
    """Return a table; columns that no row has are left out."""
    known = {key: one for key, one in columns.items() if any(row[0].get(key) is not None for row in rows.values())}
    headings = [Heading(key, column.heading, term_of(key), name_of(key)) for key, column in known.items()]
    lines = [
        Line(
            model,
            kind_of(model),
            [
                _cell(key, column, row, model in (best or {}).get(key, []), (marks or {}).get(model, {}).get(key, ""))
                for key, column in known.items()
            ],
        )
        for model, row in rows.items()
    ]
    return Table(name, title, headings, lines)


def _cell(key: str, column: Column, row: Row, best: bool, mark: str) -> Cell:
    value: Any = row[0].get(key)
    text = cell_text(value, row[1].get(key), column)
    return Cell(key, text or "–", value, best and text is not None, mark if text else "")
