"""When two class names are the same to who reads them."""

import unicodedata


def look(name: str) -> str:
    """Return what a name looks like: Unicode composed (NFC), without surrounding space."""
    return unicodedata.normalize("NFC", name).strip()
