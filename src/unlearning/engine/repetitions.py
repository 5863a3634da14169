"""Repetitions: a stage does its work once per seed of `seeds:`, in one process, and keeps what each seed left.

A killed stage loses at most the seed it was in, and a seed added to the list computes only itself. What is kept lies in
the scratch folder under a name that holds a hash of all that the seed's work depends on, as resume states do, with the
hashes of its files: what was damaged is done again.
"""

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unlearning.engine.launch import Launch
from unlearning.engine.resume import SCRATCH, ResumeState, identity_key
from unlearning.errors import InputError, Stopped
from unlearning.files import sha256_of, write_atomically, write_json
from unlearning.read_back import Origin, read_json
from unlearning.stopping import asked, why

KEPT = SCRATCH / "kept"
SUMS = "sha256.json"  # of the other files of a folder
BOUND_GB = 4.0  # of all that is kept; what was used longest ago goes first


@dataclass(frozen=True)
class Needs:
    """All that the work of one seed depends on, beside the code and the seed."""

    params: dict[str, Any]
    inputs: list[Path]


Work = Callable[[int, Path, ResumeState], None]  # seed, the folder its files go into, the state to go on from


def repeat(
    stage: str, seeds: list[int], where: Launch, needs: Callable[[int], Needs], work: Work, bound_gb: float = BOUND_GB
) -> dict[int, Path]:
    """Return {seed: folder with the files that `work` left in it}; what is kept whole is not done again.

    All processes call `work`; only the main one may write into the folder. Afterwards the folders used longest ago are
    removed until the rest fits into `bound_gb`; those of this call stay. Raises Stopped between two seeds where this
    process was asked to stop.
    """
    if where.main:
        remove_unfinished(stage)
    # All names before any work: work may import further modules, and the hash of the code that is loaded would change.
    names = {seed: task_name(stage, seed, needs(seed)) for seed in seeds}
    folders = {seed: KEPT / name for seed, name in names.items()}
    for seed, name in names.items():
        if _agree(where, is_whole(folders[seed])):
            if where.main:
                folders[seed].touch()
                print(f"{stage}: seed {seed} was finished before; its files are taken from {folders[seed]}")
            continue
        if asked():
            raise Stopped(asked(), why())
        if where.main and folders[seed].is_dir():
            print(f"warning: {stage}: {folders[seed]} is damaged; seed {seed} is done again", file=sys.stderr)
        unfinished, resume = KEPT / f".{name}", ResumeState(SCRATCH / name)
        if where.main:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        work(seed, unfinished, resume)
        if where.main:
            shutil.rmtree(folders[seed], ignore_errors=True)  # damaged, or another process did not find it
            write_json(unfinished / SUMS, sums_of(unfinished))
            unfinished.rename(folders[seed])
            resume.clear()
    if where.main:
        bound(KEPT, bound_gb, set(folders.values()))
    return folders


def sums_of(folder: Path) -> dict[str, str]:
    """Return {name: SHA-256} of the files in a folder, but for the one that holds this."""
    return {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != SUMS}


def is_whole(folder: Path) -> bool:
    """Return whether a folder is there with just the files that were kept in it; nothing but regular files is read."""
    try:
        if not all(path.is_file() for path in folder.iterdir()):
            return False
        return bool(read_json(folder / SUMS, Origin("the hashes of what is kept", None)) == sums_of(folder))
    except (InputError, OSError):
        return False


def task_name(stage: str, seed: int, needed: Needs) -> str:
    """Return the name of a folder in the scratch that holds the stage's work for a seed under exactly these needs."""
    return f"{_start_of_name(stage)}-{seed}-{identity_key({**needed.params, 'seed': seed}, needed.inputs)}"


def remove_unfinished(stage: str) -> None:
    """Remove what processes that have died left of seeds of a stage; whoever calls runs it, and nobody else does."""
    begun = re.compile(rf"\.{re.escape(_start_of_name(stage))}-(-?\d+)-[0-9a-f]{{16}}")
    for folder in KEPT.glob(".*"):
        if begun.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def bound(kept: Path, bound_gb: float, in_use: set[Path]) -> None:
    """Remove the folders used longest ago until what is in `kept` takes `bound_gb` at most; those in use stay."""
    finished = [folder for folder in kept.iterdir() if not folder.name.startswith(".")]
    folders = sorted(finished, key=lambda folder: folder.stat().st_mtime)
    sizes = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in folders}
    for folder in folders:
        if sum(sizes.values()) <= bound_gb * 1e9:
            return
        if folder not in in_use:
            shutil.rmtree(folder)
            del sizes[folder]


def place_all(folders: dict[int, Path], name: str, target: Path) -> None:
    """Put the kept file `name` of each seed into the folder `target` as <seed><suffix>; other files there go.

    Copies, as DVC makes its outputs read-only.
    """
    sources = {target / f"{seed}{Path(name).suffix}": folder / name for seed, folder in folders.items()}
    for wanted, source in sources.items():
        write_atomically(wanted, partial(shutil.copyfile, source))
    for file in set(filter(Path.is_file, target.iterdir())) - set(sources):
        file.unlink()


def _agree(where: Launch, kept: bool) -> bool:
    """Return whether every process finds the folder: all of them work, or none."""
    return bool(where.average(torch.tensor(float(kept))) == 1)


def _start_of_name(stage: str) -> str:
    return stage.replace("@", "-")
