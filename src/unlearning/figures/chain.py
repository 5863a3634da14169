"""The end of the report: from which file, original, split, code and machine the numbers of each row come."""

from collections.abc import Sequence

from unlearning.comparison.origins import Link
from unlearning.run_record import RunRecord

SHOWN = 12  # hexadecimal digits of a hash: as many as nobody meets twice by chance
UNKNOWN = "not recorded"


def chain_section(chain: Sequence[tuple[Link, RunRecord | None]]) -> str:
    """Return the section: a row a model and seed with the run that made it, then the software of the runs."""
    head = "| model | seed | its file | the original's | split | code | device | precision | made, UTC |"
    rows = [
        f"| {one.model} | {one.seed} | `{one.checkpoint[:SHOWN]}` | `{one.original[:SHOWN]}` | `{one.split[:SHOWN]}` | "
        f"{' | '.join(_made(run))} |"
        for one, run in chain
    ]
    table = "\n".join([head, "| :--- | ---: |" + " :--- |" * 7, *rows])
    software = dict.fromkeys(_software(run) for _, run in chain if run)
    lines = "".join(f"\nSoftware: {text}.\n" for text in software)
    return (
        "\n## Where the numbers come from\n\nFiles and originals by the first digits of their SHA-256; `metrics/runs` "
        f"has all of each run. A `+` behind the code: with changes that were not committed.\n\n{table}\n{lines}"
    )


def _made(run: RunRecord | None) -> list[str]:
    if run is None:
        return [UNKNOWN] * 4
    code = f"`{run.commit[:SHOWN]}`{'+' * run.dirty}" if run.commit else "no git"
    return [code, run.device or "-", run.precision or "-", run.ended[:16].replace("T", " ")]


def _software(run: RunRecord) -> str:
    return ", ".join(f"{name} {number}" for name, number in run.packages.items())
