"""Are the outputs those that dvc.lock names, and does a model still measure as its record says?

DVC knows a file by time, size and inode once it has hashed it, so it does not look again at one that was changed
through a hard link into its cache. Here every byte is read, of the outputs and of the cache.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning.errors import InputError
from unlearning.yaml_text import as_dvc_reads

LOCKS = (Path("dvc.lock"), Path("data/dvc.lock"))
CACHE = Path(".dvc/cache/files/md5")
FOLDER = ".dir"  # how the hash of a folder ends
CLOSE = 0.5  # percent or nats: how far two machines may differ in a number, by rounding and its consequences
Numbers = dict[str, float]
ANOTHER_THING = float("inf")  # where one of two values is no number


@dataclass(frozen=True)
class Output:
    """One output of one stage, as dvc.lock has it."""

    stage: str
    path: Path
    md5: str


def outputs_of(locks: tuple[Path, ...] = LOCKS) -> list[Output]:
    """Return every output in the locks; raises InputError where there is no lock, or one that cannot be read."""
    found = []
    for lock in locks:
        if not lock.is_file():
            raise InputError(f"{lock} not found; run in the root of the repository, after `dvc repro`")
        try:
            stages = as_dvc_reads(lock.read_text(encoding="utf-8"))["stages"]
            found += [
                Output(stage, Path(out["path"]), out["md5"])  # every stage runs in the root
                for stage, entry in stages.items()
                for out in entry.get("outs", [])
            ]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{lock} is not what DVC writes ({error}); `git checkout {lock}` brings it back") from None
    return found


def problems(outputs: list[Output], cache: Path = CACHE) -> list[str]:
    """Return what is not as the lock says, a line each: of the outputs, then of the objects in the cache."""
    wrong = []
    for out in outputs:
        if not out.path.exists():
            wrong.append(f"{out.path} is missing: `dvc checkout`, or `dvc repro {out.stage}`")
        elif md5_of(out.path) != out.md5:
            wrong.append(f"{out.path} is not what {out.stage} wrote, by dvc.lock")
    return wrong + [
        f"{path} in DVC's cache is damaged: remove it, then `dvc repro --force {stage}`"
        for stage, path in cached(outputs, cache)
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != path.parent.name + path.name[:30]
    ]


def cache_folder() -> Path:
    """Return where DVC keeps the content of files, by its own configuration."""
    try:
        done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return CACHE
    return Path(done.stdout.strip()) / "files" / "md5"


def cached(outputs: list[Output], cache: Path) -> Iterator[tuple[str, Path]]:
    """Yield (stage, object) of every object of the cache that the outputs are made of, those that are there."""
    for out in outputs:
        listed = _object(cache, out.md5)
        if not listed.is_file():
            continue
        yield out.stage, listed
        if out.md5.endswith(FOLDER):
            for entry in _entries(listed):
                inner = _object(cache, entry)
                if inner.is_file():
                    yield out.stage, inner


def md5_of(path: Path) -> str:
    """Return the hash that DVC gives to a file, or to a folder: that of the list of its files and their hashes."""
    if path.is_file():
        return _md5_of_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    entries = [{"md5": _md5_of_file(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + FOLDER


def differences(measured: dict[str, Any], again: dict[str, Any]) -> Numbers:
    """Return {key: by how much a number differs now}, of those that do."""
    old, new = dict(_leaves(measured)), dict(_leaves(again))
    found: Numbers = {}
    for key in [*old, *(key for key in new if key not in old)]:
        one, other = old.get(key), new.get(key)
        if one != other:
            numbers = isinstance(one, int | float) and isinstance(other, int | float)
            found[key] = abs(float(one) - float(other)) if numbers else ANOTHER_THING  # type: ignore[arg-type]
    return found


def verdict(model: str, seed: int, found: Numbers) -> tuple[bool, str]:
    """Return whether the numbers are the same but for rounding, and the sentence that says so."""
    if not found:
        return True, f"{model}, seed {seed}, measured again: the same numbers"
    key = max(found, key=lambda one: found[one])
    largest, good = found[key], found[key] <= CLOSE
    said = "there is another thing" if largest == ANOTHER_THING else f"{largest:.3g} apart"
    how = "the same but for rounding" if good else "OTHER NUMBERS"
    return good, f"{model}, seed {seed}, measured again: {how} ({len(found)} differ, most {key}: {said})"


def _md5_of_file(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _object(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _entries(listed: Path) -> list[str]:
    try:
        return [entry["md5"] for entry in json.loads(listed.read_bytes())]
    except (ValueError, TypeError, KeyError):  # damaged, as its own hash says
        return []


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield key, value
        return
    for name, one in inner:
        yield from _leaves(one, f"{key}.{name}" if key else str(name))
