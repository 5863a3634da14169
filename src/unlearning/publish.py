"""Copy what a run found into a folder that git keeps: `unlearning publish results/<name>`, after `dvc repro`.

DVC's cache holds the run itself; this is for readers: the report, its page, every number, the figures, and the
parameters.
"""

import shutil
from pathlib import Path

from unlearning.data.manifest import load_manifest
from unlearning.errors import InputError
from unlearning.figures.pictures import may_be_shown
from unlearning.page.pictured import shows
from unlearning.params_file import load_params

PAGE = Path("metrics/report.html")
FILES = ("metrics/report.md", str(PAGE), "metrics/per_class.csv", "params.yaml")
FOLDERS = {"metrics/models": "*.json", "metrics/spread": "*.json", "metrics/details": "*.json", "plots": "*.png"}


def publish(target: Path) -> list[Path]:
    """Copy report, numbers, figures and parameters below `target`, replacing what an earlier run left there.

    Returns the files written; raises InputError, before anything is written, naming what is not there, or a page with
    photos of erased classes that params.yaml does not ask for.
    """
    sources = [Path(name) for name in FILES]
    for folder, pattern in FOLDERS.items():
        found = sorted(Path(folder).glob(pattern))
        sources += found or [Path(folder) / pattern]
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source} not found; run `dvc repro` first")
    refuse_unasked_photos(PAGE)
    for folder in FOLDERS:
        shutil.rmtree(target / Path(folder).name, ignore_errors=True)
    written = []
    for source in sources:
        inside = Path(source.name) if str(source) in FILES else Path(source.parent.name) / source.name
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / inside)
        written.append(target / inside)
    return written


def refuse_unasked_photos(page: Path) -> None:
    """Raise InputError where a page, of an earlier run then, has photos of erased classes without figures.photos."""
    figures, manifest = load_params().figures, load_manifest()
    if not may_be_shown(manifest.source, figures.photos) and shows(page, manifest.erased):
        raise InputError(
            f"{page} shows photos of erased classes, and params.yaml has figures.photos: false; run `dvc repro` for a "
            "page without them, or set it to true"
        )


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("publish")
