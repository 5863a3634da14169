"""Which classes' images are in a page: its head says so, for who must not have them or is to remove them."""

import json
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path

TITLE = "Erasure report: "
BEGIN, HEAD = b"<!doctype html>", 1 << 20  # bytes of a page in which its title and the names of classes stand
MARK = re.compile(r'<meta name="pictured" content="(.*?)">')


def as_mark(classes: Iterable[str]) -> str:
    """Return what the head of a page says of the classes whose images are in it."""
    return json.dumps(list(classes))


def shows(page: Path, classes: Iterable[str]) -> bool:
    """Return whether a file is a page with images of one of the classes; a page that does not say may have them."""
    with page.open("rb") as file:
        begin = file.read(len(BEGIN))
        head = file.read(HEAD).decode("utf-8", errors="ignore") if begin == BEGIN else ""
    if TITLE not in head:
        return False
    said = MARK.search(head)
    return said is None or not set(json.loads(unescape(said[1]))).isdisjoint(classes)
