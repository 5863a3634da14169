"""Copy what a run found into a folder that git keeps: `unlearning publish results/<name>`, after `dvc repro`.

DVC's cache holds the run itself; this is for readers: the report, every number, the figures, and the parameters.
"""

import shutil
from pathlib import Path

from unlearning.errors import InputError

FILES = ("metrics/report.md", "metrics/per_class.csv", "params.yaml")
FOLDERS = {"metrics/models": "*.json", "metrics/spread": "*.json", "metrics/details": "*.json", "plots": "*.png"}


def publish(target: Path) -> list[Path]:
    """Copy report, numbers, figures and parameters below `target`, replacing what an earlier run left there.

    Returns the files written; raises InputError, before anything is written, naming what is not there.
    """
    sources = [Path(name) for name in FILES]
    for folder, pattern in FOLDERS.items():
        found = sorted(Path(folder).glob(pattern))
        sources += found or [Path(folder) / pattern]
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source} not found; run `dvc repro` first")
    for folder in FOLDERS:
        shutil.rmtree(target / Path(folder).name, ignore_errors=True)
    written = []
    for source in sources:
        inside = Path(source.name) if str(source) in FILES else Path(source.parent.name) / source.name
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / inside)
        written.append(target / inside)
    return written


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("publish")
