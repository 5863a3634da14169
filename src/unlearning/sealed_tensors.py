"""Tensors in a safetensors file with a header of ours, sealed, that holds the hash of the tensors too.

Any reader of safetensors reads such a file; only this pipeline looks at the header. Read here, it says in one line
whatever is wrong with it.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from unlearning.files import write_atomically
from unlearning.read_back import AnyWritten, Hash, Origin, Written, opened, read_text_as_json, require_file, sealed

HEADER = "unlearning"  # one metadata key: safetensors writes several in no fixed order, and bytes must not depend on it


class TensorHeader(Written):
    """What every header of ours has."""

    weights: Hash = Field(description="of the tensors, by `tensors_hash`")
    seal: Hash


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and header atomically; the same content gives the same bytes."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(sealed({**header, "weights": tensors_hash(plain)}), sort_keys=True)
    size = sum(value.nbytes for value in plain.values())
    write_atomically(path, partial(save_file, plain, metadata={HEADER: text}), size)


def header_text(path: Path, origin: Origin) -> str | None:
    """Return the header as text, None in a file that has none, or that is no safetensors file.

    Raises InputError where there is no regular file.
    """
    require_file(path, origin)
    try:
        with safe_open(path, framework="pt") as file:
            text: str | None = (file.metadata() or {}).get(HEADER)
            return text
    except Exception:  # a damaged file can raise nearly anything; `read_tensors` says what
        return None


def read_header(path: Path, kind: type[AnyWritten], origin: Origin) -> AnyWritten:
    """Return the header as its model; raises InputError where it is not the one that was written."""
    text = header_text(path, origin)
    if text is None:
        origin.refuse(path, _broken(path) or "it has no header of this pipeline")
    return opened(read_text_as_json(text, path, origin), kind, path, origin, "header")


def read_tensors(path: Path, origin: Origin, weights: str | None) -> dict[str, Tensor]:
    """Return the tensors of a file; weights: the hash that its header has, None where there is none.

    Raises InputError for a broken file, and for tensors that are not those of the hash.
    """
    require_file(path, origin)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except Exception as error:  # a damaged file can raise nearly anything
        origin.refuse(path, f"it is broken: {error}")
    if weights is not None and tensors_hash(tensors) != weights:
        origin.refuse(path, "it is broken: its tensors are not those that were written")
    return tensors


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values of tensors on the CPU, whatever their order."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _broken(path: Path) -> str | None:
    try:
        with safe_open(path, framework="pt"):
            return None
    except Exception as error:
        return f"it is broken: {error}"
