"""Reading a list that somebody wrote by hand or by a program: one thing a line."""

import codecs
import stat
from pathlib import Path

from unlearning.errors import InputError

ENCODINGS = {  # by the mark at the beginning; that of UTF-32 begins with the one of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MOST_BYTES = 1 << 26  # 64 MiB: the paths of all training images of ImageNet take 48 MB
LONGEST_LINE = 4096  # characters: as long as a path can be on Linux


def lines_of(path: Path, key: str) -> list[str]:
    """Return the lines of a UTF-8 file, or of a UTF-16 or UTF-32 one that begins with its mark.

    Raises InputError that begins with `key`, and names file and line, for what is no regular file, is longer than a
    list can be, or is no text.
    """
    try:
        refuse_no_list(path, key)
        content = path.read_bytes()
        encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
        lines = content.decode(encoding).splitlines()
    except OSError as error:
        raise InputError(f"{key}: cannot read {path} ({error.strerror}); give a list, one a line") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{key}: cannot read {path} ({error}); save it as UTF-8 text") from None
    too_long = next((number for number, line in enumerate(lines, start=1) if len(line) > LONGEST_LINE), None)
    if too_long is not None:
        raise InputError(
            f"{key}: {path}, line {too_long}: {len(lines[too_long - 1])} characters, where {LONGEST_LINE} are the most "
            "that a name has; give one name a line"
        )
    return lines


def refuse_no_list(path: Path, key: str) -> None:
    """Raise InputError for what is no regular file, or longer than a list can be; OSError for what is not there."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{key}: {path} is no regular file; give a text file with one name a line")
    if status.st_size > MOST_BYTES:
        raise InputError(
            f"{key}: {path} has {status.st_size / 1e6:.0f} MB, where {MOST_BYTES / 1e6:.0f} MB are the most that a "
            "list has; is it the right file?"
        )
