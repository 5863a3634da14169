"""What `unlearning purge` prints: where copies lie, what was removed, and what a search for their bytes has found."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from unlearning.purge.places import Kind, Place, Repository
from unlearning.purge.search import NOT_SEARCHED, Found, Pieces

SHOWN = 8  # files named of those in which something was found
NAMES: dict[Kind, str] = {"images": "erased images", "original": "tensors of the original model"}


def headline(kind: Kind, here: Repository) -> str:
    """Return the line above the places of one kind."""
    if kind == "original":
        return "The original model:"
    manifest = here.manifest
    counts = [f"{len(manifest.select(name, 'forget'))} {name}" for name in manifest.splits]
    names = ", ".join(map(repr, manifest.erased))
    what = f"Images of the erased classes {names}" if names else "The erased images"
    return f"{what} ({', '.join(counts)}):"


def place_line(place: Place) -> str:
    """Return what lies at a place, and what becomes of it."""
    if not place.files:
        return f"  {place.what}: {place.advice}"
    size = sum(file.stat().st_size for file in place.files)
    return f"  {place.what}: {_counted(len(place.files), 'file')}, {_bytes(size)}; removed on request"


def found_lines(kind: Kind, pieces: Pieces, found: Found) -> Iterator[str]:
    """Yield what a search says: how much was read, how many pieces were found, and where."""
    read = f"{_counted(found.files, 'file')} ({_bytes(found.size)}) and {_counted(found.objects, 'object')} of git"
    yield f"searched {read}, without {', '.join(NOT_SEARCHED)}, for the bytes of {pieces.count} {NAMES[kind]}"
    if pieces.plain:
        yield f"  {pieces.plain} of them are of one colour throughout and cannot be known again: not searched for"
    if found.unreadable:
        yield f"  not readable: {', '.join(found.unreadable[:SHOWN])}"
    if not found.where:
        yield "  found: none"
        return
    yield f"  found: {len(found.pieces)} of {len(pieces)}, in {_counted(len(found.where), 'file')}"
    most = sorted(found.where.items(), key=lambda item: (-len(item[1]), item[0]))
    for name, numbers in most[:SHOWN]:
        yield f"    {name}: {len(numbers)}"
    if len(most) > SHOWN:
        yield f"    and {len(most) - SHOWN} more"


def unknown_files(found: Found, removed: Iterable[Path], root: Path) -> list[str]:
    """Return the files in which something was found and that no place names."""
    known = {str((root / path).relative_to(root)) for path in removed if (root / path).is_relative_to(root)}
    return sorted(name for name in found.where if name not in known)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"
