"""Removing what `places` found, nothing outside the repository, and leaving to DVC a state that it takes for finished.

The split stays without its pixels: its manifest is what every checkpoint is checked against and all that `compare`
reads. Holes in the pixels would be worse than none, as a later stage would compute on them without a word. dvc.lock is
told that what was computed from the split is what it was, so nothing is computed again.
"""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unlearning.errors import InputError, brief
from unlearning.files import write_atomically
from unlearning.params_file import PARAMS
from unlearning.purge.places import Kind, Place, Repository
from unlearning.scenario import write_values

LOCK = Path("dvc.lock")
VALUES: dict[Kind, dict[str, Any]] = {  # without which the next run would ask for what is gone, or draw it again
    "images": {"inputs": "kept", "figures": {"queries": 0}},
    "original": {"inputs": "kept"},
}
SPLIT_ENTRY = re.compile(r"(path: data/split\n(?: +hash: md5\n)? +md5: )(\S+)(\n +size: )(\d+)(\n +nfiles: )(\d+)")


def refuse_unready(here: Repository, kinds: Iterable[Kind], places: Iterable[Place]) -> None:
    """Raise InputError, before anything is deleted, where what is there is not what dvc.lock says, or lies outside."""
    for file in files_of(places):
        if not here.inside(file) or not here.inside(file.parent):
            raise InputError(f"purge: {file} leads out of the repository; nothing was deleted. Delete it by hand")
    if "images" in kinds:
        changed = _run("dvc", "status", "--quiet", "split")
        if changed.returncode:
            raise InputError(
                "purge: data/split is not what dvc.lock and params.yaml say (`dvc status split`); nothing was deleted. "
                "Run `dvc repro split`, or go back to the values that it was made with"
            )


def purge(here: Repository, kinds: Iterable[Kind], places: Iterable[Place]) -> list[str]:
    """Delete the files of the places and leave DVC consistent; returns a line for each value of params.yaml changed.

    Raises InputError, before anything is deleted, as `refuse_unready` does.
    """
    refuse_unready(here, kinds, places)
    changed = [line for kind in kinds for line in write_values(VALUES[kind], "purge", PARAMS)]
    for file in files_of(places):
        file.unlink()
        _remove_empty(file.parent, here)
    if "images" in kinds:
        settle_lock()
    return changed


def files_of(places: Iterable[Place]) -> list[Path]:
    """Return the files of all places, each once."""
    return list(dict.fromkeys(file for place in places for file in place.files))


def settle_lock() -> None:
    """Let dvc.lock say of every stage that the split it was computed from is the one without pixels.

    Only the hash of data/split changes: a stage that was out of date for another reason stays so.
    """
    before = _split_entries(LOCK.read_text(encoding="utf-8"))
    done = _run("dvc", "commit", "--force", "split")
    if done.returncode:
        said = done.stderr or done.stdout
        raise InputError(brief(f"purge: the files are gone, but `dvc commit --force split` failed: {said}"))
    text = LOCK.read_text(encoding="utf-8")
    (new,) = _split_entries(text) - before or before

    def settled(entry: re.Match[str]) -> str:
        return "".join((entry[1], new[0], entry[3], new[1], entry[5], new[2]) if _values(entry) in before else entry[0])

    write_atomically(LOCK, lambda path: path.write_text(SPLIT_ENTRY.sub(settled, text), encoding="utf-8"))


def _split_entries(lock: str) -> set[tuple[str, str, str]]:
    return {_values(entry) for entry in SPLIT_ENTRY.finditer(lock)}


def _values(entry: re.Match[str]) -> tuple[str, str, str]:
    return entry[2], entry[4], entry[6]


def _remove_empty(folder: Path, here: Repository) -> None:
    """Remove a folder that has become empty, and those above it, up to the repository's own."""
    while folder.resolve() != here.root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)
