"""Measure all, write benchmarks/results.json and the tables of docs/speed.md: `make bench`, minutes on two cores.

Nothing else may run beside it: the ratios of a run stand side by side, but what is short is disturbed most.
"""

import importlib
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks import growth
from benchmarks.side_by_side import DEVICE, Line
from benchmarks.world import ROOT, place
from unlearning.figures.readme import between

RATIOS = ("loading", "training", "losses", "libraries", "evaluation", "pipeline")
RESULTS, DOCUMENT = ROOT / "benchmarks/results.json", ROOT / "docs/speed.md"
SOFTWARE = ("torch", "torchvision", "timm", "dvc", "pytorch-metric-learning", "supreme-unlearning")


def main() -> None:
    chosen = sys.argv[1:] or [*RATIOS, "growth"]
    lines: list[Line] = []
    for name in RATIOS:
        if name in chosen:
            for one in importlib.import_module(f"benchmarks.{name}").measure():
                print(row(one), flush=True)
                lines.append(one)
    grown = list(growth.measure()) if "growth" in chosen else []
    if sys.argv[1:]:
        print(growth_table(grown))
        return
    RESULTS.write_text(
        json.dumps({**machine(), "ratios": [asdict(one) for one in lines], "growth": [asdict(one) for one in grown]},
        indent=1) + "\n"
    )  # fmt: skip
    write_document(lines, grown)


def machine() -> dict[str, Any]:
    """Return what was measured on, and when."""
    where = place()
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else platform.machine()
    return {
        "device": f"{DEVICE.type}, {name}, {torch.get_num_threads()} threads",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "precision": str(where.dtype).removeprefix("torch."),
        "software": {name: known for name in SOFTWARE if (known := version_of(name))},
        "day": datetime.now(timezone.utc).date().isoformat(),
    }


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_document(lines: Sequence[Line], grown: Sequence[growth.Growth]) -> None:
    """Put both tables into docs/speed.md."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, table in (("ratios", ratio_table(lines)), ("growth", growth_table(grown))):
        text = between(text, f"<!-- {name}: make bench -->\n", f"<!-- /{name} -->\n", table, DOCUMENT)
    DOCUMENT.write_text(text, encoding="utf-8")


def ratio_table(lines: Sequence[Line]) -> str:
    on = machine()
    software = ", ".join(f"{name} {number}" for name, number in on["software"].items())
    head = [
        f"{on['device']} ({on['capability']}), {on['precision']}; {software}; {on['day']}.",
        "",
        "| what | against | ratio | goal | met | ours | theirs | |",
        "| :--- | :--- | ---: | ---: | :--- | ---: | ---: | :--- |",
    ]
    return "\n".join([*head, *map(row, lines)]) + "\n"


def row(one: Line) -> str:
    ratio = f"{one.ratio:.2f}" + (f" ({one.low:.2f} to {one.high:.2f})" if one.low != one.high else "")
    numbers = f"{one.ours:.3g} {one.unit} | {one.theirs:.3g} {one.unit}"
    met = "yes" if one.met else "**no**"
    return f"| {one.name} | {one.against} | {ratio} | {one.goal} | {met} | {numbers} | {one.remark} |"


def growth_table(grown: Sequence[growth.Growth]) -> str:
    head = ["| what | grows with | time | memory | seconds at once |", "| :--- | :--- | ---: | ---: | ---: |"]
    rows = [
        f"| {one.name} | {one.axis} | {one.time:.1f} | {'' if one.memory is None else f'{one.memory:.1f}'} "
        f"| {one.seconds:.2g} |"
        for one in grown
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    main()
