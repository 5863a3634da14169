"""How far two runs of the same parameters agree: `unlearning stability results/<one> results/<other>`.

Each folder is one that `unlearning publish` wrote, for example after runs on two machines or two numbers of threads,
which round sums in another order and so are other draws. Prints a Markdown table: for each number its standard
deviation over the seeds, its change between the runs, how many cells differ by less than twice their pooled deviation,
and Kendall's tau of the methods' order.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from unlearning.errors import InputError
from unlearning.over_seeds import flat
from unlearning.params import ANOTHER, CONTROLS, REFERENCES

NOT_COMPARED = ("seconds",)  # depends on the machine, and is meant to
WITHIN = 2.0  # pooled standard deviations


@dataclass(frozen=True)
class Cell:
    """One number of one model in two runs: means over the seeds, and their deviations."""

    model: str
    key: str
    first: float
    second: float
    pooled: float  # root of the mean of both variances

    @property
    def change(self) -> float:
        """Return the absolute difference of the two means."""
        return abs(self.first - self.second)

    @property
    def agrees(self) -> bool:
        """Whether the means differ by at most twice the pooled deviation."""
        return self.change <= WITHIN * self.pooled


@dataclass(frozen=True)
class Run:
    """What a run says: {model: {key: value}}, flat."""

    means: Mapping[str, Mapping[str, float]]
    deviations: Mapping[str, Mapping[str, float]]


def read_run(folder: Path) -> Run:
    """Return the numbers of a published run; raises InputError when it has none, or only one seed."""
    means, deviations = (_read(folder / part) for part in ("models", "spread"))
    if not means or not any(deviations.values()):
        raise InputError(
            f"{folder} has no models/*.json with spread/*.json of several seeds; publish a run there first"
        )
    return Run(means, deviations)


def cells_of(first: Run, second: Run) -> list[Cell]:
    """Return the cells that both runs have, the references' too."""
    return [
        Cell(model, key, value, second.means[model][key], _pooled(first, second, model, key))
        for model, row in first.means.items()
        for key, value in row.items()
        if key not in NOT_COMPARED and key in second.means.get(model, {})
    ]


def stability_table(first: Run, second: Run) -> str:
    """Return the table, a row a number, and the share of all cells that agree."""
    cells = cells_of(first, second)
    keys = list(dict.fromkeys(cell.key for cell in cells))
    lines = ["| number | deviation over seeds | change between runs | cells that agree | Kendall's tau |"]
    lines.append("| :--- | ---: | ---: | ---: | ---: |")
    for key in keys:
        own = [cell for cell in cells if cell.key == key]
        agree = sum(cell.agrees for cell in own)
        numbers = f"{mean(cell.pooled for cell in own):.2f} | {mean(cell.change for cell in own):.2f}"
        lines.append(f"| `{key}` | {numbers} | {agree} of {len(own)} | {_text(order_kept(own))} |")
    agree = sum(cell.agrees for cell in cells)
    percent = f"{100 * agree / len(cells):.1f} %"
    share = f"{agree} of {len(cells)} cells ({percent}) differ by at most twice their pooled deviation."
    apart = "; ".join(f"`{cell.model}` {cell.key}" for cell in cells if not cell.agrees)
    return "\n".join([*lines, "", share, f"The others: {apart or 'none'}."])


def order_kept(cells: list[Cell]) -> float | None:
    """Return Kendall's tau between the two orders of the methods; None where all are equal. Controls are left out."""
    from scipy.stats import kendalltau  # here: importing it takes a second

    methods = [cell for cell in cells if cell.model not in (*REFERENCES, ANOTHER, *CONTROLS)]
    if len(methods) < 2:
        return None
    tau = float(kendalltau([cell.first for cell in methods], [cell.second for cell in methods]).statistic)
    return tau if tau == tau else None


def _pooled(first: Run, second: Run, model: str, key: str) -> float:
    variances = [run.deviations.get(model, {}).get(key, 0.0) ** 2 for run in (first, second)]
    return float(mean(variances) ** 0.5)


def _read(folder: Path) -> dict[str, dict[str, float]]:
    rows = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: flat(row) for name, row in rows.items()}


def _text(tau: float | None) -> str:
    return "–" if tau is None else f"{tau:.2f}"


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("stability")
