"""Checkpoints: safetensors with a header that says how to rebuild the model and refuses a wrong one."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.files import write_atomically
from unlearning.models.backbone import Architecture, build, load_exactly
from unlearning.models.ec_modules import ec_modules
from unlearning.models.header import FORMAT, HEADER, header_fields

CHECKPOINTS = Path("models")
MODEL, MODULES = "model.", "modules."


@dataclass(frozen=True)
class Header:
    architecture: Architecture
    classes: list[str]
    forget_classes: list[int]  # empty for a model that was made without knowing them
    mean: list[float]
    std: list[float]
    split: str  # hash of the manifest: samples, labels, content
    stage: str  # which stage wrote it, e.g. "unlearn@ec"
    params: dict[str, Any]  # the stage's own block of params.yaml
    source: str | None = None  # SHA-256 and name of the file that the user gave, where the model comes from one
    forget_samples: str | None = None  # hash of their ids, for a model made to forget samples
    erased_before: list[int] = field(default_factory=list)  # classes of earlier requests

    @property
    def request(self) -> list[int] | str:
        """Identify what was to be forgotten; empty for a model that was made without knowing it."""
        return self.forget_samples or self.forget_classes


@dataclass(frozen=True)
class Checkpoint:
    header: Header
    model: nn.Module
    modules: nn.ModuleDict | None  # EC modules, in models/ec_modules/ only

    def builder(self, pretrained: bool | str) -> Callable[[], nn.Module]:
        """Return what builds the model as it was before any training; pretrained: where training began, as `build`."""
        return partial(build, self.header.architecture, pretrained)


def checkpoint_path(model: str, seed: int) -> Path:
    """Return where the checkpoint of a model's repetition lies."""
    return CHECKPOINTS / model / f"{seed}.safetensors"


def new_header(
    architecture: Architecture, manifest: Manifest, stage: str, params: dict[str, Any], source: str | None = None
) -> Header:
    """Return the header of a model trained or unlearned on this split."""
    return Header(
        architecture,
        manifest.classes,
        manifest.forget_classes,
        manifest.mean,
        manifest.std,
        manifest.hash,
        stage,
        params,
        source,
        manifest.request if isinstance(manifest.request, str) else None,
        manifest.erased_before,
    )


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; the same weights and header give the same bytes."""
    tensors = _named(MODEL, checkpoint.model)
    if checkpoint.modules is not None:
        tensors |= _named(MODULES, checkpoint.modules)
    header = json.dumps({"format": FORMAT, **asdict(checkpoint.header)}, sort_keys=True)
    size = sum(tensor.nbytes for tensor in tensors.values())
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata={HEADER: header}), size)


def load_checkpoint(path: Path, manifest: Manifest) -> Checkpoint:
    """Rebuild the model of a checkpoint on the CPU, in eval mode.

    Raises InputError when the file is missing, broken, or belongs to other classes or another split.
    """
    header, tensors = read_header(path), _read_tensors(path)
    if header is None:
        raise InputError(f"{path} has no header of this pipeline; give it as original.checkpoint instead")
    _refuse_other_data(path, header, manifest)
    model = build(header.architecture)
    load_exactly(model, _with_prefix(tensors, MODEL), path)
    model.eval()
    weights = _with_prefix(tensors, MODULES)
    if not weights:
        return Checkpoint(header, model, None)
    modules = ec_modules(model)
    load_exactly(modules, weights, path)
    return Checkpoint(header, model, modules)


def read_header(path: Path) -> Header | None:
    """Return the header, or None for a safetensors file (or another format) that this pipeline did not write.

    Raises InputError when the file is missing.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint {path}; run the stage that makes it, or `dvc checkout`")
    fields = header_fields(path)
    if fields is None:
        return None
    if fields.pop("format") != FORMAT:
        raise InputError(f"{path} was written by another version of this pipeline; rebuild it with `dvc repro --force`")
    fields["architecture"] = Architecture(**fields["architecture"])
    return Header(**fields)


def model_weights(path: Path) -> dict[str, Tensor]:
    """Return the classifier's weights of a checkpoint of this pipeline."""
    return _with_prefix(_read_tensors(path), MODEL)


def _refuse_other_data(path: Path, header: Header, manifest: Manifest) -> None:
    if header.classes != manifest.classes:
        raise InputError(f"{path} was trained on other classes than data/split/manifest.json lists; rebuild it")
    if header.split != manifest.hash:
        raise InputError(
            f"{path} belongs to split {header.split}, data/split/manifest.json is split {manifest.hash}; "
            "run `dvc repro` so that every model comes from the same split"
        )
    if header.erased_before != manifest.erased_before:
        before = [header.classes[label] for label in header.erased_before]
        raise InputError(
            f"{path} was made where forget.before was {before}, data/split says otherwise; run `dvc repro`"
        )
    if header.request and manifest.request and header.request != manifest.request:
        raise InputError(
            f"{path} was made to forget {_said(header.request)}, data/forget.json names {_said(manifest.request)}; run "
            "`dvc repro`"
        )


def _said(request: list[int] | str) -> str:
    return f"the samples {request}" if isinstance(request, str) else f"the classes {request}"


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise InputError(f"{path} is broken ({error}); remove it and run `dvc checkout` or `dvc repro`") from None


def _named(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: _plain(tensor) for name, tensor in sorted(module.state_dict().items())}


def _plain(tensor: Tensor) -> Tensor:
    return (
        tensor.detach()
        .to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype)
        .clone(memory_format=torch.contiguous_format)
    )


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
