"""Reading a file of weights that somebody else wrote: as data only, never executed, with the cause where it fails."""

import argparse
import datetime
import json
import pathlib
import pickletools
import re
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from unlearning.errors import InputError

# How files begin that are often found in the place of weights, and what helps.
NO_WEIGHTS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the weights; fetch them by `git lfs pull`",
    b"<!doctype html": "is a web page, not the weights; download the file behind its link (a login may be needed)",
    b"<html": "is a web page, not the weights; download the file behind its link (a login may be needed)",
    b"<?xml": "is XML, such as the error of a file server, not the weights; download it again",
    b"\x1f\x8b": "is compressed by gzip; unpack it",
    b"\x89hdf": "is an HDF5 file (Keras), which holds no PyTorch weights",
    b"{": "is JSON text, such as the index of weights in several files; join them into one file",
}
ZIP, BROKEN_OFF = b"PK\x03\x04", "is a download that broke off"
AGAIN = "copy or download it again"
LOADED = "torch.load(F, map_location='cpu', weights_only=False)"  # F: the file
# Of a content c, for the line that saves it again: the weights of the model that it is, or of those in it ...
MODELS = (
    "c.state_dict() if hasattr(c, 'state_dict') else "
    "{k: v.state_dict() for k, v in c.items() if hasattr(v, 'state_dict')}"
)
# ... and the tensors in it, or the dictionaries of tensors.
TENSORS = "{k: v for k, v in c.items() if t(v) or isinstance(v, dict) and any(map(t, v.values()))}"


def _harmless() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what training scripts save beside weights; each only makes a value when it is called."""
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    arrays = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")  # NumPy 1 and 2
        for function, name in ((scalar, "scalar"), (array, "_reconstruct"))
    ]
    paths = [
        (kind, f"{module}.{name}")  # pure ones: no machine can make the other system's
        for module in ("pathlib", "pathlib._local")  # the latter: Python 3.13
        for kind, names in (
            (pathlib.PurePosixPath, ("PosixPath", "PurePosixPath", "Path", "PurePath")),
            (pathlib.PureWindowsPath, ("WindowsPath", "PureWindowsPath")),
        )
        for name in names
    ]
    kinds_of_array = {type(np.dtype(code)) for code in np.typecodes["All"]}  # numbers, text, times, objects
    times = [datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone]
    values = [argparse.Namespace, types.SimpleNamespace, list, dict, int, float, str, tuple]
    containers = [(_without_default, "collections.defaultdict"), (_without_bound, "collections.deque")]
    return [*values, *containers, *times, np.ndarray, np.dtype, *kinds_of_array, *arrays, *paths]  # type: ignore[list-item]


def _without_default(*_: object) -> "OrderedDict[Any, Any]":
    """Make what a defaultdict is read as: torch fills no other dictionaries than its own choice."""
    return OrderedDict()


def _without_bound(*_: object) -> list[Any]:
    """Make what a deque is read as: torch fills no other sequences than lists."""
    return []


def read_content(path: Path) -> Any:
    """Return what a file of torch.save or safetensors holds, its tensors on the CPU; no code in it is run.

    The format is told by the content, not by the name. Raises InputError with the cause for a file that is missing,
    empty, half there, of another kind, or that only running code could read.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint file {path}; check the path")
    with path.open("rb") as file:
        start = file.read(64)
    if not start.strip(b"\0\n "):
        raise InputError(f"{path} is empty; {AGAIN}")
    for begin, cause in NO_WEIGHTS.items():
        if start.lstrip().lower().startswith(begin):
            raise InputError(f"{path} {cause}")
    return _read_safetensors(path) if start[8:9] == b"{" else _read_torch(path)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    _refuse_half_of_it(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise InputError(f"{path} cannot be read as a checkpoint ({error}); {AGAIN}") from None


def _refuse_half_of_it(path: Path) -> None:
    """Compare a safetensors file's size with what its header says: 8 bytes of length, the header, the tensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, size))
    try:
        tensors = [value for key, value in json.loads(text).items() if key != "__metadata__"] if text else []
        expected = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):  # a header that is itself cut or broken
        expected = 8 + length
    if size < expected:
        raise InputError(f"{path} {BROKEN_OFF}: {size} of {expected} bytes; {AGAIN}")


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file:
        is_zip = file.read(4) == ZIP
    if is_zip and not zipfile.is_zipfile(path):
        raise InputError(f"{path} {BROKEN_OFF}: the end of the archive is missing; {AGAIN}")
    try:
        with path.open("rb") as file, torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of such files is said below, in one line
            return torch.load(file, map_location="cpu", weights_only=True)  # of a path, torch believes the suffix
    except Exception as error:  # a broken file can raise nearly anything
        raise InputError(f"{path} {_cause(path, error)}") from None


def _cause(path: Path, error: Exception) -> str:
    """Say in one line why torch could not read a file, and how to get one that it can."""
    message = " ".join(str(error).split())
    if "TorchScript" in message:
        return f"is a TorchScript archive, which is code; {_saved_again(path, 'torch.jit.load(F).state_dict()')}"
    refused = re.search(r"GLOBAL (\S+)|but got <class '([^']+)'>", message)
    name = refused and (refused[1] or refused[2])
    if any(name.startswith("torch.nn.modules.") for name in _classes_named(path)):
        return (
            f"holds a whole pickled model{f' ({name})' if name else ''}, which only running code could read; "
            f"{_saved_again(path, MODELS, before=f'c = {LOADED}; ')}"
        )
    if name:
        return (
            f"cannot be read as a checkpoint: it holds {name}, which only running code could read, and none in "
            f"it is run; {_saved_again(path, TENSORS, before=f't, c = torch.is_tensor, {LOADED}; ')}"
        )
    if isinstance(error, EOFError) or "EOF" in message or "truncated" in message:
        return f"{BROKEN_OFF}: its end is missing; {AGAIN}"
    if "Unsupported operand" in message:
        return f"was saved in a pickle protocol that can hide code; {_saved_again(path, LOADED)}"
    reason = message.rpartition("WeightsUnpickler error: ")[2]  # without torch's advice to run what is in the file
    return f"cannot be read as a checkpoint ({type(error).__name__}: {reason[:150]}); {AGAIN}"


def _saved_again(path: Path, saved: str, before: str = "") -> str:
    """Return the line that saves again what can be read; the path, which can be long, stands in it once."""
    code = f"{before}torch.save({saved}, f + '_weights.pt')".replace("(F", f"(f + {path.suffix!r}", 1)
    return f'if you trust it, run: python -c "import torch; f = {str(path.with_suffix(""))!r}; {code}"'


def _classes_named(path: Path) -> list[str]:
    """Return the classes and functions that unpickling the file would call; none is called here."""
    named: list[str] = []
    try:
        for stream in _pickles(path):
            texts: list[str] = []
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL":
                    named.append(str(argument).replace(" ", "."))
                elif operation.name == "STACK_GLOBAL":
                    named.append(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
    except Exception:  # not a pickle, or half of one: what was named until there counts
        return named
    return named


def _pickles(path: Path) -> Iterator[IO[bytes]]:
    """Yield streams of the pickles in a file of torch.save: one in an archive, four in a row in a file before 1.6."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl"):
                    yield archive.open(name)
        return
    with path.open("rb") as file:
        for _ in range(4):
            yield file
