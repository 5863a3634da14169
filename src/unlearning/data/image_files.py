"""Which files below a folder are images, which only look like some, and what can be neither listed nor opened."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unlearning.errors import InputError, and_more

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff")
UNREAD = (  # suffixes of images that are not read: the commoner ones of
    *(".heic", ".heics", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".jxr"),  # the web
    *(".jfif", ".jif", ".jpe", ".apng", ".dib", ".pbm", ".pnm", ".pam", ".pfm"),  # relatives of those that are read
    *(".psd", ".psb", ".xcf", ".svg", ".svgz", ".ai", ".eps", ".emf", ".wmf", ".ico", ".icns"),  # drawings
    *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef"),
    *(".srw", ".x3f", ".erf", ".kdc", ".dcr", ".mrw", ".3fr", ".rwl"),  # cameras
    *(".exr", ".hdr", ".tga", ".dds", ".pcx", ".pcd", ".sgi", ".ras", ".xbm", ".xpm", ".qoi", ".wbmp"),  # rendering
    *(".fit", ".fits", ".dcm", ".nii", ".svs", ".ndpi"),  # instruments
)
Folder = tuple[int, int]  # device and number of its inode
Bad = tuple[Path, str]  # and the reason


@dataclass(frozen=True)
class Found:
    """What lies below a folder, each sorted; hidden files, and those in hidden folders, are left out."""

    images: list[Path] = field(default_factory=list)  # by their names
    others: list[Path] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)  # what may be an image, and can be neither listed nor opened


def files_below(folder: Path) -> Found:
    """List a folder; links are followed, as torchvision does. Nothing is opened."""
    found = Found()
    for path, reason in _walked(folder):
        if reason:
            found.bad.append((path, reason))
        elif not is_image(path):
            found.others.append(path)
        elif _is_utf8(path):
            found.images.append(path)
        else:
            found.bad.append((path, "its name is not UTF-8"))
    return Found(sorted(found.images), sorted(found.others), sorted(found.bad))


def folders_in(folder: Path) -> list[Path]:
    """Return the visible folders within a folder, sorted; none where it is not there."""
    below = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in below if path.is_dir() and not path.name.startswith("."))


def is_image(path: Path) -> bool:
    """Tell by the suffix whether a file is one that `read_image` reads."""
    return path.suffix.lower() in EXTENSIONS


def looks_like_an_image(path: Path) -> bool:
    """Tell by the suffix whether a file is an image of a format that is not read."""
    return path.suffix.lower() in UNREAD


def refuse_broken(bad: Sequence[Bad], key: str = "") -> None:
    """Raise InputError with the first of these files and how many more there are, if there is one."""
    if bad:
        where = f"{key}: " if key else ""
        named = and_more([f"{printable(path)} ({reason})" for path, reason in bad])
        raise InputError(f"{where}cannot read the image {named}; repair or remove it")


def refuse_lost_folders(folder: Path, key: str) -> None:
    """Raise InputError for a link within a folder that leads nowhere, and for a folder whose name is not UTF-8."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_symlink() and not path.exists():
            raise InputError(f"{key}: the link {printable(path)} leads nowhere; repair or remove it")
        if path.is_dir() and not _is_utf8(path):
            raise InputError(f"{key}: the name of the folder {printable(path)} is not UTF-8; rename it")


def printable(path: Path | str) -> str:
    """Return a path as text that can be printed whatever its bytes are."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _walked(top: Path) -> Iterator[tuple[Path, str]]:
    """Yield each visible file below a folder, with the reason why it can be none, or with no text."""
    todo: list[tuple[str, frozenset[Folder]]] = [(str(top), frozenset())]
    while todo:
        folder, above = todo.pop()
        try:
            own = _identity(folder)
            entries = list(os.scandir(folder)) if own not in above else []
        except OSError as error:
            yield Path(folder), error.strerror or str(error)
            continue
        if own in above:
            yield Path(folder), "a link that leads in a circle"
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _leads_to_a_folder(entry):
                todo.append((entry.path, above | {own}))
            else:
                yield Path(entry.path), _why_no_file(entry)


def _identity(folder: str) -> Folder:
    stat = Path(folder).stat()
    return stat.st_dev, stat.st_ino


def _leads_to_a_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _why_no_file(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_file():
            return ""
    except OSError as error:
        return "a link that leads in a circle" if error.errno == errno.ELOOP else error.strerror or str(error)
    if entry.is_symlink() and not Path(entry.path).exists():
        return "a link that leads nowhere"
    return "it is no regular file" if is_image(Path(entry.name)) else ""


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
