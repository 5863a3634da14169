"""The header of a checkpoint as the file holds it, read without timm, which takes seconds to load."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

FORMAT = "unlearning-1"
HEADER = "unlearning"  # one metadata key: safetensors writes several in no fixed order, and bytes must not depend on it


def header_fields(path: Path) -> dict[str, Any] | None:
    """Return the fields of a checkpoint's header, or None for a file that this pipeline did not write.

    Raises FileNotFoundError when the file is missing.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
    except SafetensorError:
        return None
    fields: dict[str, Any] | None = None if text is None else json.loads(text)
    return fields
