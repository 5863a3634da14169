"""When two class names are the same to who reads them."""

import re
import unicodedata

WORDNET_ID = re.compile("n[0-9]{8}")


def look(name: str) -> str:
    """Return what a name looks like: Unicode composed (NFC), without surrounding space."""
    return unicodedata.normalize("NFC", name).strip()


def wordnet_id(name: str) -> str | None:
    """Return the WordNet id that the name of a class of ImageNet begins with; None for other names."""
    first = look(name).split(" ")[0]
    return first if WORDNET_ID.fullmatch(first) else None
