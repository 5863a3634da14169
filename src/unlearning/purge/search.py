"""Where given bytes are found again: many pieces at once, in every file below a folder and in git's objects.

Of each piece an excerpt is looked for, at any place of a file: first eight bytes of it, its anchor, in all files at the
speed of numpy, then the excerpt where its anchor was found. What is compressed or encrypted is not seen, but for git's
own objects, which git unpacks.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ANCHOR = 8  # bytes: one word
EXCERPT = 1024  # bytes of a piece that must be found
CANDIDATES = 32  # excerpts of a piece that are tried for the most distinctive
CHUNK = 1 << 24  # bytes searched at once
TABLE_BITS = 20  # of the table that most words of a file are ruled out by
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # spreads words over the table (Knuth's multiplicative hashing)
NOT_SEARCHED = (".venv",)  # installed packages
Bytes = np.ndarray  # uint8 (n,)


@dataclass(frozen=True)
class Found:
    """What a search has found: {where: numbers of the pieces}, and how much it has read."""

    where: dict[str, set[int]] = field(default_factory=dict)
    files: int = 0
    size: int = 0  # bytes
    objects: int = 0  # of git
    unreadable: list[str] = field(default_factory=list)

    @property
    def pieces(self) -> set[int]:
        return set().union(*self.where.values())


class Pieces:
    """Byte strings to look for. A piece of one repeated byte tells nothing and is left out: see `plain`."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        excerpts = [_excerpt(np.frombuffer(piece, dtype=np.uint8)) for piece in pieces]
        self.count = len(excerpts)
        self.plain = sum(excerpt is None for excerpt in excerpts)
        self._excerpts = [excerpt for excerpt in excerpts if excerpt is not None]
        self._offsets = [_anchor(excerpt) for excerpt in self._excerpts]
        pairs = zip(self._excerpts, self._offsets, strict=True)
        anchors = np.array([_word(one, offset) for one, offset in pairs], dtype=np.uint64)
        self._table = np.zeros(1 << TABLE_BITS, dtype=bool)
        self._table[_slots(anchors)] = True
        self._words, owners = np.unique(anchors, return_inverse=True)
        self._owners = [np.flatnonzero(owners == number).tolist() for number in range(len(self._words))]

    def __len__(self) -> int:
        return len(self._excerpts)

    def within(self, content: Bytes) -> set[int]:
        """Return the numbers of the pieces that the content holds."""
        found: set[int] = set()
        if not self._excerpts:
            return found
        for begin in range(0, len(content), CHUNK):
            chunk = content[begin : begin + CHUNK + ANCHOR - 1]
            for place, number in self._anchors_in(chunk):
                found.update(self._at(content, begin + place, number, found))
        return found

    def _anchors_in(self, chunk: Bytes) -> Iterator[tuple[int, int]]:
        """Yield (place, number of the word) wherever an anchor stands."""
        for shift in range(min(ANCHOR, max(0, len(chunk) - ANCHOR + 1))):
            whole = (len(chunk) - shift) // ANCHOR * ANCHOR
            words = chunk[shift : shift + whole].view(np.uint64)
            places = np.flatnonzero(self._table[_slots(words)])
            numbers = np.searchsorted(self._words, words[places])
            same = self._words[np.minimum(numbers, len(self._words) - 1)] == words[places]
            for place, number in zip(places[same].tolist(), numbers[same].tolist(), strict=True):
                yield shift + place * ANCHOR, number

    def _at(self, content: Bytes, place: int, word: int, known: set[int]) -> Iterator[int]:
        """Yield the pieces, not known yet, whose anchor is the word and whose excerpt stands around this place."""
        for number in self._owners[word]:
            begin, excerpt = place - self._offsets[number], self._excerpts[number]
            held = content[max(begin, 0) : begin + len(excerpt)]
            if number not in known and begin >= 0 and np.array_equal(held, excerpt):
                yield number


def search(pieces: Pieces, root: Path) -> Found:
    """Look for the pieces in all files below a folder, hidden ones and DVC's cache included, and in git's objects.

    Links to folders are not followed; what NOT_SEARCHED names is left out.
    """
    where: dict[str, set[int]] = {}
    files, size, objects, unreadable = 0, 0, 0, list[str]()
    for path in files_below(root):
        name = str(path.relative_to(root))
        try:
            content = _content(path)
        except OSError:
            unreadable.append(name)
            continue
        files, size = files + 1, size + len(content)
        if numbers := pieces.within(content):
            where[name] = numbers
    for name, content in git_objects(root):
        objects += 1
        if numbers := pieces.within(content):
            where[f"git object {name}"] = numbers
    return Found(where, files, size, objects, unreadable)


def files_below(root: Path) -> Iterator[Path]:
    """Yield every file that is to be searched, sorted within a folder."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not (Path(folder) == root and name in NOT_SEARCHED))
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield path


def git_objects(root: Path) -> Iterator[tuple[str, Bytes]]:
    """Yield (name, content) of each file that git's objects hold, of every commit; nothing outside a git repository."""
    if not (root / ".git").exists():
        return
    command = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while header := process.stdout.readline().split():
            name, kind, size = header[0].decode(), header[1], int(header[2])
            content = process.stdout.read(size + 1)[:size]
            if kind == b"blob":
                yield name, np.frombuffer(content, dtype=np.uint8)


def _content(path: Path) -> Bytes:
    if path.stat().st_size == 0:  # cannot be mapped
        return np.zeros(0, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r")


def _excerpt(piece: Bytes) -> Bytes | None:
    """Return the most distinctive excerpt; None of a piece that is too short, or the same byte throughout."""
    if len(piece) < ANCHOR:
        return None
    last = max(0, len(piece) - EXCERPT)
    begins = np.unique(np.linspace(0, last, CANDIDATES).astype(int)) if last else [0]
    excerpts = [piece[begin : begin + EXCERPT] for begin in begins]
    best = max(excerpts, key=lambda excerpt: len(np.unique(excerpt)))
    return best.copy() if len(np.unique(best)) > 1 else None


def _anchor(excerpt: Bytes) -> int:
    """Return where the eight most different bytes of an excerpt stand."""
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(excerpt, ANCHOR), axis=1)
    return int((np.diff(windows, axis=1) != 0).sum(axis=1).argmax())


def _word(excerpt: Bytes, offset: int) -> np.uint64:
    word: np.uint64 = excerpt[offset : offset + ANCHOR].copy().view(np.uint64)[0]
    return word


def _slots(words: np.ndarray) -> np.ndarray:
    slots: np.ndarray = (words * MULTIPLIER) >> np.uint64(64 - TABLE_BITS)
    return slots
