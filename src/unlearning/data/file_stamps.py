"""By what a file outside git and DVC is told from another of its name: a stamp of 16 bytes. Without arrays: the stage
`inputs`, which runs every time, loads it."""

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from unlearning.data.parallel import mapped
from unlearning.files import sha256_of

By = Literal["times", "content"]
WIDTH = 16  # bytes
WHAT = {"times": "size or time of change", "content": "content"}


def stamp_of_times(stat: os.stat_result) -> bytes:
    """Return a file's size in bytes and its time of change in ns, 8 bytes each."""
    return struct.pack("<qq", stat.st_size, stat.st_mtime_ns)


def stamp_of_content(content: bytes) -> bytes:
    """Return the first half of the SHA-256 of a file's content."""
    return hashlib.sha256(content).digest()[:WIDTH]


def looks_of(paths: Sequence[Path], by: By) -> Iterator[tuple[int, bytes]]:
    """Yield bytes and stamp of each file, looked at by several threads; raises OSError for one that is gone."""

    def one(path: Path) -> tuple[int, bytes]:
        found = path.stat()
        return found.st_size, bytes.fromhex(sha256_of(path))[:WIDTH] if by == "content" else stamp_of_times(found)

    return mapped(one, paths)
