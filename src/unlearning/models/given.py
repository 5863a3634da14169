"""A user's own trained classifier as the original (or the retrained) model."""

from pathlib import Path

from torch import nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.files import sha256_of
from unlearning.models.backbone import Architecture, build, load_exactly, read_weights
from unlearning.models.checkpoint import model_weights, read_header


def load_given(
    path: Path, sha256: str | None, key: str, architecture: Architecture, manifest: Manifest
) -> tuple[nn.Module, str]:
    """Return the classifier in a file and the file's SHA-256.

    The file: a checkpoint of this pipeline, safetensors, or anything timm reads without executing code. sha256: what
    it should be, where that is known. `key` is the block in params.yaml, for messages. Raises InputError when the file
    is not the one whose hash was given, or is of another architecture or class list.
    """
    if not path.is_file():
        raise InputError(f"{key}.checkpoint: no file {path}; check the path (relative to the repository)")
    digest = sha256_of(path)
    if sha256 not in (None, digest):
        raise InputError(f"{key}.sha256: {path} has SHA-256 {digest}, expected {sha256}; is it the right file?")
    header = read_header(path)
    if header is not None and header.classes != manifest.classes:
        raise InputError(f"{key}.checkpoint: {path} was trained on other classes than data/split/manifest.json lists")
    if header is not None and header.architecture != architecture:
        raise InputError(f"{key}.checkpoint: {path} holds {header.architecture}, params.yaml asks for {architecture}")
    if header is not None and (header.mean, header.std) != (manifest.mean, manifest.std):
        raise InputError(
            f"{key}.checkpoint: {path} was trained on images normalised by mean {header.mean} and std {header.std}; "
            "set data.mean and data.std to these"
        )
    model = build(architecture)
    load_exactly(model, model_weights(path) if header else read_weights(path), path)
    return model, digest
