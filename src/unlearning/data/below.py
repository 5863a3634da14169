"""Paths of many files below one folder, made when they are asked for: a million of them would take half a gigabyte."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload


@dataclass(frozen=True)
class Below(Sequence[Path]):
    """The files of these names below a folder, in order."""

    folder: Path
    names: Sequence[str] | Sequence[bytes]  # bytes as the system has them

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> "Below": ...
    def __getitem__(self, place: int | slice) -> "Path | Below":
        if isinstance(place, slice):
            return Below(self.folder, self.names[place])
        return self.folder / os.fsdecode(self.names[place])
