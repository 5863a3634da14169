"""What stages read from outside git and DVC, and how a change of it is known: fingerprints of files and folders.

The stage `inputs` writes them to data/inputs, one small file a reader, and DVC compares these. It runs at every `dvc
repro`: nothing here may import torch.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning.data.below import Below
from unlearning.data.file_stamps import By, looks_of
from unlearning.data.text_lists import refuse_no_list
from unlearning.errors import InputError
from unlearning.files import sha256_of
from unlearning.params import Forget, Model, Params, Reference

INPUTS = Path("data/inputs")
FIXED = ("digits", "cifar10", "cifar100")  # sources with but one content: embedded, or checked by torchvision's MD5
Fingerprint = dict[str, str | int]


@dataclass(frozen=True)
class Outside:
    """A file or a folder outside git and DVC that a stage reads."""

    key: str  # of params.yaml, for messages
    path: Path  # as the stage opens it
    folder: bool = False
    small: bool = False  # a list, whose content is read whatever `inputs` says

    @property
    def exists(self) -> bool:
        return self.path.is_dir() if self.folder else self.path.is_file()

    def fingerprint(self, by: By) -> Fingerprint:
        """Return what tells this content from another; raises InputError, naming the key, when it cannot be read."""
        refuse_missing(self)
        try:
            if self.small:
                refuse_no_list(self.path, self.key)
            look = folder_print if self.folder else file_print
            looked = look(self.path, "content" if self.small else by)
        except OSError as error:
            where = self.path if error.filename is None else os.fsdecode(error.filename)
            raise InputError(
                f"{self.key}: cannot read {where} ({error.strerror}); make it readable, or move it away"
            ) from None
        return {"key": self.key, "path": str(self.path), **looked}


def outside_of(params: Params, surrogates: dict[str, str]) -> dict[str, list[Outside]]:
    """Return what each reader reads from outside, by the name of its file below data/inputs without suffix.

    surrogates: the folder in each method's block that has one.
    """
    references = {"original": params.original, "retrained": params.retrained}
    sets = {
        f"sets/{entry.name}": _tree(f"downstream: {entry.name}, root", entry.source, entry.root)
        for entry in params.downstream
    }
    return {
        "split": [
            *_tree("data.root", params.data.name, params.data.root),
            *_list(params.forget),
            *_checkpoints("original", params.original),
        ],
        "shadow": _pretrained(params.model),
        **{f"models/{name}": _weights(name, references.get(name), params.model) for name in params.references},
        **{f"models/{name}": _surrogate(name, surrogates) + _pretrained(params.model) for name in params.methods},
        **{f"models/{name}": _checkpoints(f"audit.{name}", one) for name, one in params.audit.items()},
        **sets,
    }


def surrogates_of(params: Params, values: dict[str, Any]) -> dict[str, str]:
    """Return the folder `surrogate` of each method's block of `values`, params.yaml as it was read, that names one.

    The blocks themselves are checked by the methods, which import torch.
    """
    named = {name: values[name].get("surrogate") for name in params.methods if isinstance(values.get(name), dict)}
    return {name: folder for name, folder in named.items() if isinstance(folder, str)}


def _tree(key: str, source: str, root: str) -> list[Outside]:
    return [] if source in FIXED else [Outside(key, Path(root), folder=True)]


def _list(forget: Forget) -> list[Outside]:
    return [Outside("forget.file", Path(forget.list_file), small=True)] if forget.list_file else []


def _weights(name: str, reference: Reference | None, model: Model) -> list[Outside]:
    """Return the files of a reference: its checkpoints, or what it is trained from."""
    return _checkpoints(name, reference) or _pretrained(model)


def _checkpoints(name: str, reference: Reference | None) -> list[Outside]:
    return [Outside(f"{name}.checkpoint", file) for file in reference.files] if reference else []


def _pretrained(model: Model) -> list[Outside]:
    return [Outside("model.pretrained", Path(model.pretrained))] if isinstance(model.pretrained, str) else []


def _surrogate(name: str, surrogates: dict[str, str]) -> list[Outside]:
    return [Outside(f"{name}.surrogate", Path(surrogates[name]), folder=True)] if name in surrogates else []


def prints_before() -> dict[Path, list[Fingerprint]]:
    """Return what the last run has written; a file that holds no JSON is as if it were not there."""
    found = {}
    for path in INPUTS.rglob("*.json"):
        with suppress(ValueError):
            found[path] = json.loads(path.read_text(encoding="utf-8"))
    return found


def prints_now(
    readers: dict[str, list[Outside]], before: dict[Path, list[Fingerprint]], inputs: str
) -> dict[Path, list[Fingerprint]]:
    """Return each reader's file with its fingerprints; where `inputs` says kept, those of `before` that are there.

    Raises InputError, naming the key, for what is not there or cannot be read.
    """
    by: By = "content" if inputs == "content" else "times"
    known = [one for prints in before.values() for one in prints] if inputs == "kept" else []
    kept = {(one["key"], one["path"]): one for one in known}
    return {
        INPUTS / f"{name}.json": [kept.get((one.key, str(one.path))) or one.fingerprint(by) for one in sources]
        for name, sources in readers.items()
    }


def compared_by() -> By:
    """Return how the images of the split were told from others when data/inputs was written."""
    by = {one.get("by") for one in prints_before().get(INPUTS / "split.json", [])}
    return "content" if "content" in by else "times"


def changed_keys(before: dict[Path, list[Fingerprint]], now: dict[Path, list[Fingerprint]]) -> list[str]:
    """Return the keys, each with its path, whose file or folder is there in both and has changed, each once."""
    pairs = [(old, new) for path, prints in now.items() for old in before.get(path, []) for new in prints]
    same_place = [(old, new) for old, new in pairs if (old["key"], old["path"]) == (new["key"], new["path"])]
    return list(dict.fromkeys(f"{new['key']}: {new['path']}" for old, new in same_place if old != new))


def refuse_missing(source: Outside) -> None:
    """Raise InputError that names the key and says what to do, when the file or folder is not there."""
    if source.exists:
        return
    what, path = "folder" if source.folder else "file", source.path
    if path.exists():
        raise InputError(f"{source.key}: {path} is no {'folder' if source.folder else 'regular file'}; give one")
    raise InputError(
        f"{source.key}: no {what} {path}; {_where_to_look(path)}. If it was deleted on purpose, `inputs: kept` "
        "in params.yaml keeps what was made of it"
    )


def _where_to_look(path: Path) -> str:
    if str(path).startswith("~") and path.expanduser().exists():
        return f"~ is not replaced here, write {path.expanduser()}"
    if path.is_absolute():
        return "check the path"
    return (
        f"it was looked for in {Path.cwd()}; check the path, and make it absolute for `dvc exp run --temp` and "
        "`--queue`, which run in a copy of the workspace"
    )


def folder_print(folder: Path, by: By) -> Fingerprint:
    """Return the fingerprint of all visible files below a folder: their number, bytes, and a hash of what `by` says.

    times: of names, sizes and times of change; content: of names and contents. Raises OSError for what cannot be read.
    """
    names = list(visible(os.fsencode(folder)))
    digest, size = hashlib.sha256(), 0
    for name, (own, stamp) in zip(names, looks_of(Below(folder, names), by), strict=True):
        digest.update(b"%b\0%b" % (name, stamp))
        size += own
    return {"files": len(names), "bytes": size, "by": by, "sha256": digest.hexdigest()}


def file_print(path: Path, by: By) -> Fingerprint:
    """Return the fingerprint of one file: its bytes and its time of change, or the SHA-256 of its content."""
    if by == "content":
        return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def visible(folder: bytes, inside: bytes = b"", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[bytes]:
    """Yield the name below the folder of each file, sorted within a folder; nothing that begins with a dot.

    Links are followed, also those that the readers of image folders do not follow, but not into a folder `above`.
    """
    own = Path(os.fsdecode(folder)).stat()
    if (own.st_dev, own.st_ino) in above:
        return
    with os.scandir(folder) as listed:
        entries = sorted((entry for entry in listed if not entry.name.startswith(b".")), key=lambda entry: entry.name)
    for entry in entries:
        name = inside + entry.name
        if entry.is_dir():
            yield from visible(entry.path, name + b"/", above | {(own.st_dev, own.st_ino)})
        elif entry.is_file():
            yield name
