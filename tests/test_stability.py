import json
from pathlib import Path

import pytest
from scipy.stats import kendalltau

from unlearning.errors import InputError
from unlearning.stability import Run, cells_of, order_kept, read_run, stability_table

MEANS = {"retrained": {"cka": 80.0}, "a": {"cka": 10.0}, "b": {"cka": 20.0}, "c": {"cka": 30.0}}


def run_of(change: dict[str, float], deviation: float = 1.0) -> Run:
    means = {name: {"cka": row["cka"] + change.get(name, 0.0), "seconds": 1.0} for name, row in MEANS.items()}
    return Run(means, {name: {"cka": deviation, "seconds": 9.0} for name in MEANS})


@pytest.mark.parametrize(("change", "agrees"), [(0.0, True), (1.99, True), (2.01, False), (-2.01, False)])
def test_a_cell_agrees_within_twice_the_pooled_deviation(change: float, agrees: bool) -> None:
    [cell] = [cell for cell in cells_of(run_of({}), run_of({"b": change})) if cell.model == "b"]
    assert cell.agrees is agrees


def test_deviations_are_pooled_as_variances_and_equal_numbers_without_deviation_agree() -> None:
    cells = cells_of(run_of({}, deviation=3.0), run_of({}, deviation=4.0))
    assert {cell.pooled for cell in cells} == {(25 / 2) ** 0.5}
    assert {cell.key for cell in cells} == {"cka"}  # seconds are the machine's
    assert all(cell.agrees for cell in cells_of(run_of({}, deviation=0.0), run_of({}, deviation=0.0)))


def test_the_order_is_that_of_the_methods_without_references() -> None:
    first, second = run_of({}), run_of({"a": 15.0, "retrained": -80.0})
    expected = kendalltau([10, 20, 30], [25, 20, 30]).statistic
    assert order_kept(cells_of(first, second)) == pytest.approx(expected) == pytest.approx(1 / 3)
    assert order_kept([cell for cell in cells_of(first, second) if cell.model == "a"]) is None


def test_the_table_counts_and_names_what_does_not_agree() -> None:
    table = stability_table(run_of({}), run_of({"b": 50.0}))
    assert "| `cka` | 1.00 | 12.50 | 3 of 4 | 0.33 |" in table
    assert "3 of 4 cells (75.0 %)" in table
    assert table.endswith("The others: `b` cka.")


def test_runs_are_read_as_they_are_published_and_one_seed_is_refused(tmp_path: Path) -> None:
    for part, row in (
        ("models", {"cka": 1.0, "knn": {"birds": 50.0}}),
        ("spread", {"cka": 0.5, "knn": {"birds": 2.0}}),
    ):
        (tmp_path / part).mkdir()
        (tmp_path / part / "ec.json").write_text(json.dumps(row))
    run = read_run(tmp_path)
    assert run == Run({"ec": {"cka": 1.0, "knn.birds": 50.0}}, {"ec": {"cka": 0.5, "knn.birds": 2.0}})
    (tmp_path / "spread/ec.json").write_text("{}")
    with pytest.raises(InputError, match="of several seeds"):
        read_run(tmp_path)
