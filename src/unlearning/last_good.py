"""What the last run of a stage has written stands again when the next run of it fails.

DVC removes a stage's outputs before it runs. Its `persist` would leave them there, but keeps the stage out of the run
cache, so that going back to old parameters would run it again. So a copy of small outputs is kept, and put back while
it is what dvc.lock knows of, and of the present split: all is as before the run, and the next `dvc repro` tries again.
"""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unlearning.errors import InputError
from unlearning.other_results import FORGET, outputs, section, text_of

KEPT = Path(".scratch/last_good")
BACK = "metrics and plots are again those of the last run that went well"
GONE = (
    "the results of the last run that went well come back by its parameters, `git checkout dvc.lock metrics plots` and "
    "`dvc checkout`"
)


@contextmanager
def last_good(stage: str) -> Iterator[None]:
    """Keep what the stage writes in the context; if it fails put back what it wrote last, and say so in the error."""
    written = list(outputs(section(text_of(Path("dvc.yaml")), stage)))
    try:
        yield
    except InputError as error:
        said = put_back(stage, written)
        raise InputError(f"{error} ({said})" if said else str(error)) from None
    except BaseException:
        said = put_back(stage, written)
        if said:
            print(said, file=sys.stderr)
        raise
    keep(stage, written)


def keep(stage: str, written: list[Path]) -> None:
    """Copy the outputs of a stage to where `put_back` finds them; a full disk is no reason to fail."""
    with suppress(OSError):
        shutil.rmtree(KEPT / stage, ignore_errors=True)
        for path in written:
            _copy(path, KEPT / stage / path)


def put_back(stage: str, written: list[Path]) -> str:
    """Put the kept outputs in their places and return what to tell the user; nothing where none is missing.

    None is missing where DVC has not started the stage. Others than those that dvc.lock has recorded, or of another
    split, are left where they are.
    """
    if all(path.exists() for path in written):
        return ""
    if not _known(stage):
        return GONE
    try:
        for path in written:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            _copy(KEPT / stage / path, path)
    except OSError:
        return GONE
    return BACK


def _known(stage: str) -> bool:
    """Return whether what is kept is what dvc.lock knows of, by the outputs that are files, and the split is the same.

    Another split's were taken away on purpose (other_results.py).
    """
    locked = section(text_of(Path("dvc.lock")), stage)
    known = {path: md5 for path, md5 in _recorded(locked, "outs").items() if not md5.endswith(".dir")}
    same_split = _recorded(locked, "deps").get(FORGET) == _md5(Path(FORGET))
    return same_split and bool(known) and all(_md5(KEPT / stage / path) == md5 for path, md5 in known.items())


def _recorded(locked: dict[str, Any], kind: str) -> dict[str, str]:
    return {entry["path"]: entry.get("md5", "") for entry in locked.get(kind, [])}


def _md5(path: Path) -> str | None:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
