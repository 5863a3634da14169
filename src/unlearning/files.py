"""Writing files so that a crash leaves either the old file or the new one, never half of one."""

import hashlib
import json
import os
import re
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from unlearning.errors import NO_ROOM, InputError, same_command
from unlearning.processes import died, token

BEFORE_REPLACING: list[
    Callable[[Path], None]
] = []  # called with the path ahead of each change of a file: may refuse it
TEMPORARY = re.compile(r"\..+\.(?:\d+|(?P<pid>\d+)-(?P<born>[0-9a-f]+)-(?P<where>[0-9a-f]{8}))\.tmp")
STRANGE = 24 * 3600  # seconds after which a temporary file is taken for left behind where its process cannot be known
SAYS_FULL = re.compile(  # libraries that pass no errno on: safetensors, numpy, torch
    r"os error (?:28|122|27)\b|requested and \d+ written|unexpected pos|PytorchStreamWriter failed"
)


class DiskFull(InputError):
    """There is no room for a file."""


def write_atomically(path: Path, write: Callable[[Path], object], size: int = 0) -> None:
    """Call write(temporary path) in the folder of `path`, flush to disk, then rename onto `path`.

    size: bytes that will be written, as far as that is known. Raises DiskFull with the bytes needed and free,
    PermissionError naming the folder when it must not be written to, InputError when writing fails otherwise.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{token()}.tmp")
        try:
            _write_flushed(path, temporary, write, size)
            for asked in BEFORE_REPLACING:
                asked(path)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except PermissionError as error:
        raise PermissionError(
            f"no permission to write {path} ({error.strerror}); check who owns {path.parent}"
        ) from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(no_room(path, size)) from None
        raise InputError(f"cannot write {path} ({error}); check its folder and the space on the disk") from None


def _write_flushed(path: Path, temporary: Path, write: Callable[[Path], object], size: int) -> None:
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    except Exception as error:
        if getattr(error, "errno", None) in NO_ROOM or SAYS_FULL.search(str(error)):
            written = temporary.stat().st_size if temporary.is_file() else 0
            temporary.unlink(missing_ok=True)  # what it takes counts as free
            raise DiskFull(no_room(path, max(size, written))) from None
        raise


def no_room(path: Path, size: int) -> str:
    """Return the message that a file does not fit: the bytes it needs, at least, and those that are free."""
    free, limit = free_beside(path), resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    needed = f"{path} cannot be written: it needs {f'at least {size:,} bytes' if size else 'more'}"
    if 0 <= limit < free:
        return f"{needed}, and no file may have more than {limit:,} here (ulimit -f); raise that, then {same_command()}"
    return f"{needed}, {free:,} are free on its disk; make room, then {same_command()}"


def free_beside(path: Path) -> int:
    """Return the bytes that may still be written to the disk of a path, which need not exist."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def leftovers(folder: Path, deep: bool = True) -> Iterator[Path]:
    """Yield the temporary files in a folder whose processes have ended; deep: in the folders below it too."""
    for inside, folders, names in os.walk(folder):
        yield from (Path(inside, name) for name in names if _is_left_behind(Path(inside, name)))
        if not deep:
            folders.clear()


def _is_left_behind(path: Path) -> bool:
    found = TEMPORARY.fullmatch(path.name)
    if found is None:
        return False
    ended = died(*found.group("pid", "born", "where")) if found["pid"] else None
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > STRANGE if ended is None else ended
    return False


def write_json(path: Path, value: object) -> None:
    """Write indented JSON atomically; NaN and infinity are refused with a ValueError."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), len(text))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
