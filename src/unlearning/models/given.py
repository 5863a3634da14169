"""A user's own trained classifier as the original (or the retrained) model: whatever training scripts save.

`weight_file` reads the file, `state_dicts` finds the weights in it, `adapting` makes them fit, `first_look` asks the
model whether it knows the classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError, did_you_mean
from unlearning.files import sha256_of
from unlearning.models.adapting import adapted
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build, load_exactly
from unlearning.models.checkpoint import Header, model_weights, read_header
from unlearning.models.state_dicts import Found, Weights, find_weights, named
from unlearning.models.weight_file import read_content
from unlearning.params import Reference


@dataclass(frozen=True)
class GivenFile:
    """A file as params.yaml names it."""

    path: Path
    sha256: str | None  # what it should be, where that is known
    checkpoint_key: str | None  # which of several sets of weights in it
    block: str  # of params.yaml, for messages

    @classmethod
    def of(cls, reference: Reference, repetition: int, block: str) -> "GivenFile":
        """Return the file for the seed that stands at place `repetition` of `seeds:`."""
        path, sha256 = reference.file_for(repetition)
        return cls(Path((path or "").strip()).expanduser(), sha256, reference.checkpoint_key, block)


@dataclass(frozen=True)
class Given:
    model: nn.Module
    source: str  # SHA-256 and name of the file, for the header
    normalised: bool  # whether the file says by which mean and std, and they are the manifest's
    notes: list[str]  # what was chosen and changed, a line each


def trained_on(reference: Reference, manifest: Manifest) -> bool:
    """Return whether every file of a reference is a checkpoint that this pipeline has made on just this split.

    Of any other file nobody can say which images the model has seen. False for a file that cannot be read, too: the
    stage that takes it says why.
    """
    files = reference.files
    return bool(files) and all(_split_of(file) == manifest.hash for file in files)


def _split_of(path: Path) -> str | None:
    """Return the hash of the split that a checkpoint of this pipeline was made on."""
    try:
        header = read_header(path) if path.is_file() and path.stat().st_size else None
    except InputError:
        return None
    return header.split if header else None


def load_given(file: GivenFile, architecture: Architecture, manifest: Manifest) -> Given:
    """Return the classifier in a file: a checkpoint of this pipeline, safetensors or anything torch.save wrote.

    No code in the file is run. Where the manifest names classes to forget, the file may have no outputs for them: they
    get some that are never predicted. Raises InputError when the file is not the one whose hash was given, cannot be
    read, is of another architecture or class list, or holds weights that are no finite real numbers.
    """
    path, block = file.path, file.block
    if not path.is_file():
        raise InputError(f"{block}.checkpoint: no file {path}; check the path (relative to the repository)")
    digest = sha256_of(path)
    if file.sha256 is not None and file.sha256.strip().lower() != digest:
        raise InputError(f"{block}.sha256: {path} has SHA-256 {digest}, expected {file.sha256}; is it the right file?")
    header = read_header(path) if path.stat().st_size else None
    if header is not None:
        _refuse_other_data(file, header, architecture, manifest)
    model, notes = build(architecture), list[str]()
    content = read_content(path) if header is None else model_weights(path)
    found = _choose(find_weights(content, set(model.state_dict())), file, content, model, notes)
    load_exactly(model, adapted(found, model, manifest, path, block, notes), path)
    return Given(model, f"{digest} {path.name}", header is not None, [f"{path}: {note}" for note in notes])


def _refuse_other_data(file: GivenFile, header: Header, architecture: Architecture, manifest: Manifest) -> None:
    key, path = f"{file.block}.checkpoint", file.path
    if header.classes != manifest.classes:
        raise InputError(f"{key}: {path} was trained on other classes than data/split/manifest.json lists")
    if header.architecture != architecture:
        raise InputError(f"{key}: {path} holds {header.architecture}, params.yaml asks for {architecture}")
    if (header.mean, header.std) != (manifest.mean, manifest.std):
        raise InputError(
            f"{key}: {path} was trained on images normalised by mean {header.mean} and std {header.std}; "
            "set data.mean and data.std to these"
        )


def _choose(found: list[Found], file: GivenFile, content: Any, model: nn.Module, notes: list[str]) -> Found:
    """Return the set that checkpoint_key names, or else the only one, or the only one that is no average."""
    names, key = [one.name for one in found], f"{file.block}.checkpoint_key"
    if not found:
        raise InputError(
            f"{file.path} holds no weights of {type(model).__name__} (expected names such as "
            f"{next(iter(model.state_dict()))}, found {_glance(content)}); check model.name, or save its state_dict()"
        )
    if file.checkpoint_key is not None:
        chosen = named(found, file.checkpoint_key)
        if chosen is None:
            hint = did_you_mean(file.checkpoint_key, names)
            known = ", ".join(names) if any(names) else "one set of weights without a key; leave it empty"
            raise InputError(f"{key}: {file.path} has no weights at {file.checkpoint_key!r}{hint}; it has {known}")
    else:
        plain = [one for one in found if not one.averaged] or found
        chosen = plain[0]
        if any(not _same(one.weights, chosen.weights) for one in plain[1:]):
            raise InputError(f"{key}: {file.path} holds several sets of weights; name one of {', '.join(names)}")
    if chosen.name:
        beside = [name for name in names if name != chosen.name]
        notes.append(
            f"weights taken from {chosen.name}"
            + (" (a running average, EMA)" if chosen.averaged else "")
            + (f"; {key} chooses another: {', '.join(beside)}" if beside else "")
        )
    return chosen


def _glance(content: Any) -> str:
    keys = [str(key) for key in content][:3] if isinstance(content, dict) else []
    return ", ".join(keys) or f"a {type(content).__name__}"


def _same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())
