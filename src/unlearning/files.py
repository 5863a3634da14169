"""Writing files so that a crash leaves either the old file or the new one, never half of one."""

import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from unlearning.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary path) in the folder of `path`, flush to disk, then rename onto `path`.

    Raises PermissionError naming the folder when it must not be written to, InputError when writing fails otherwise.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except PermissionError as error:
        raise PermissionError(
            f"no permission to write {path} ({error.strerror}); check who owns {path.parent}"
        ) from None
    except OSError as error:
        raise InputError(f"cannot write {path} ({error}); check its folder and the space on the disk") from None


def write_json(path: Path, value: object) -> None:
    """Write indented JSON atomically; NaN and infinity are refused with a ValueError."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def sha256_known(path: Path) -> str:
    """Return the SHA-256 of a file, computed once in a process as long as its inode, size and time stay."""
    found = path.stat()
    return _sha256_of_state(path.resolve(), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@cache
def _sha256_of_state(path: Path, *_: int) -> str:
    return sha256_of(path)
