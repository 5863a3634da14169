"""A model for others: a folder that timm loads by itself, as on the Hugging Face hub, without this package.

`model.safetensors` holds the weights under the architecture's own names, `config.json` the architecture, the classes
and the preprocessing, `README.md` the model card, `model.py` a loader of torch and timm alone.
"""

import importlib.util
import json
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.export.card import Measured, erased_names, model_card
from unlearning.files import write_atomically, write_json
from unlearning.models.backbone import classifier_name, classifier_of
from unlearning.models.checkpoint import Header, checkpoint_path, load_checkpoint

WEIGHTS, CONFIG, CARD, LOADER = "model.safetensors", "config.json", "README.md", "model.py"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Exported:
    """A network as others get it."""

    network: nn.Module
    classes: list[str]  # of its outputs, in their order
    header: Header  # of the checkpoint it comes from


def exported(model: str, seed: int, manifest: Manifest, drop_forgotten: bool) -> Exported:
    """Return a model's network; without the outputs of all erased classes, where `drop_forgotten` says so.

    Raises InputError where there is no such checkpoint, or no class that could be dropped.
    """
    checkpoint = load_checkpoint(checkpoint_path(model, seed), manifest)
    header = replace(checkpoint.header, forget_classes=manifest.forget_classes)
    if not drop_forgotten:
        return Exported(checkpoint.model, header.classes, header)
    if not manifest.absent_classes:
        raise InputError("--drop-forgotten: samples were erased, and their classes are kept; leave it out")
    kept = manifest.kept_classes
    keep_outputs(checkpoint.model, kept)
    return Exported(checkpoint.model, [header.classes[label] for label in kept], header)


def keep_outputs(network: nn.Module, kept: list[int]) -> None:
    """Take the rows of all other classes out of the classifier, in place; kept: of the outputs, in order."""
    old = classifier_of(network)
    assert isinstance(old, nn.Linear)
    new = nn.Linear(old.in_features, len(kept), bias=old.bias is not None)
    with torch.no_grad():
        new.weight.copy_(old.weight[kept])
        if old.bias is not None:
            new.bias.copy_(old.bias[kept])
    network.set_submodule(classifier_name(network), new)
    network.num_classes = len(kept)  # type: ignore[assignment]  # timm's, of every model


def write_export(one: Exported, manifest: Manifest, measured: Measured, target: Path) -> list[Path]:
    """Write the folder, then load it by its own loader and compare; returns the files.

    Raises InputError when the loaded network's outputs differ in one bit, which would be a fault of this function.
    """
    weights = {name: tensor.contiguous() for name, tensor in one.network.state_dict().items()}
    write_atomically(target / WEIGHTS, lambda path: save_file(weights, path, metadata={"format": "pt"}))
    write_json(target / CONFIG, config_of(one, manifest))
    write_atomically(target / LOADER, partial(shutil.copyfile, HERE / LOADER))
    text = model_card(one.header, one.classes, manifest, measured)
    write_atomically(target / CARD, lambda path: path.write_text(text, encoding="utf-8"))
    example = torch.randn(2, manifest.channels, manifest.image_size, manifest.image_size)
    if not torch.equal(outputs(one.network, example), outputs(loader_of(target).load(target), example)):
        raise InputError(f"{target}: what was written answers otherwise than {one.header.stage}; please report this")
    return [target / name for name in (WEIGHTS, CONFIG, LOADER, CARD)]


def config_of(one: Exported, manifest: Manifest) -> dict[str, Any]:
    """Return timm's config.json, and under `erasure` what timm does not ask for."""
    header, size = one.header, manifest.image_size
    resize = manifest.eval_resize
    stem, stride = first_convolution(one.network), header.architecture.small_stem
    return {
        "architecture": header.architecture.name,
        "num_classes": len(one.classes),
        "num_features": one.network.num_features,
        "label_names": one.classes,
        "model_args": {**header.architecture.kwargs, "in_chans": header.architecture.channels},
        "pretrained_cfg": {
            "num_classes": len(one.classes),
            "input_size": [manifest.channels, size, size],
            "mean": header.mean,
            "std": header.std,
            "interpolation": "bilinear",
            "crop_pct": size / resize[0] if resize else 1.0,
            "crop_mode": "squash" if len(resize) == 2 else "center",
            "first_conv": stem,
            "classifier": classifier_name(one.network),
        },
        "erasure": {
            "forgotten": erased_names(header),
            "images": len(manifest.forget_samples),
            "outputs_dropped": len(one.classes) < len(header.classes),
            "stage": header.stage,
            "split": header.split,
            "given": header.source,
            "params": header.params,
            "small_stem": None if stride is None else {"layer": stem, "stride": stride},
            "eval_resize": resize,
        },
    }


def first_convolution(network: nn.Module) -> str:
    """Return the name of the layer that sees the image."""
    return next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))


def write_onnx(one: Exported, manifest: Manifest, path: Path) -> None:
    """Write the network as ONNX, of any number of images; raises InputError where the libraries for it are missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}; python -m pip install onnx onnxscript") from None
    example = torch.randn(2, manifest.channels, manifest.image_size, manifest.image_size)
    program = torch.onnx.export(
        one.network.eval(), (example,), dynamo=True, input_names=["image"], output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("images")},), verbose=False,
    )  # fmt: skip
    if program is None:
        raise InputError(f"{path}: torch made no ONNX program of {type(one.network).__name__}")
    write_atomically(path, lambda temporary: program.save(str(temporary)))


def loader_of(folder: Path) -> Any:
    """Return the module model.py of a folder."""
    spec = importlib.util.spec_from_file_location("exported_model", folder / LOADER)
    if spec is None or spec.loader is None:
        raise InputError(f"{folder / LOADER} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (B, K) in evaluation mode."""
    with torch.inference_mode():
        logits: Tensor = network.eval()(images)
    return logits


def measured_of(model: str, seed: int, references: list[str]) -> Measured:
    """Return what `report` wrote of a model and the references for one seed; nothing of who has no such file."""
    found: Measured = {}
    for name in dict.fromkeys([*references, model]):
        path = Path(f"metrics/details/{name}.json")
        details = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"seeds": {}}
        of_seed = details["seeds"].get(str(seed))
        if of_seed is not None:
            found[name] = of_seed
    return found
