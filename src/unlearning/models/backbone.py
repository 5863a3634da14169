"""Any timm classifier, with a small-image stem and weights from timm or a local file."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from unlearning.data.manifest import Manifest
from unlearning.errors import InputError, and_more
from unlearning.models.kwargs import MODEL, faults_of
from unlearning.models.state_dicts import Weights, find_weights
from unlearning.models.weight_file import read_content
from unlearning.params import Model


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again; written into every checkpoint."""

    name: str  # timm's
    kwargs: dict[str, Any]  # of timm.create_model
    small_stem: int | None  # stride of the 3x3 stem
    classes: int
    channels: int
    image_size: int


def architecture(model: Model, manifest: Manifest) -> Architecture:
    """Return the architecture that params.yaml asks for on this data."""
    kwargs = dict(model.kwargs)
    return Architecture(
        model.name, kwargs, model.small_stem, len(manifest.classes), manifest.channels, manifest.image_size
    )


def build(architecture: Architecture, pretrained: bool | str = False) -> nn.Module:
    """Build the classifier; `pretrained` is True for timm's weights or the path of a local file.

    Raises InputError for an unknown name, arguments that timm refuses, or weights that do not fit.
    """
    refuse_unknown(architecture.name)
    refused = next(faults_of(architecture.kwargs), None)
    if refused is not None:
        raise InputError(refused)
    if pretrained is True and not timm.is_model_pretrained(architecture.name):
        raise InputError(
            f"model.pretrained: timm has no weights of {architecture.name!r}; set it to false or give the path of a "
            "local file"
        )
    try:
        model: nn.Module = timm.create_model(
            architecture.name,
            pretrained=pretrained is True,
            num_classes=architecture.classes,
            in_chans=architecture.channels,
            **architecture.kwargs,
        )
    except OSError as error:
        raise InputError(
            f"model.pretrained: the weights of {architecture.name} could not be downloaded ({error}); "
            "give the path of a local file instead"
        ) from None
    except Exception as error:  # the constructors check little: a wrong argument can raise nearly anything
        raise InputError(_why_not(architecture, error)) from None
    if architecture.small_stem is not None:
        shrink_stem(model, architecture.small_stem)
    if isinstance(pretrained, str):
        load_pretrained(model, Path(pretrained))
    return model


def refuse_unknown(name: str) -> None:
    """Raise InputError for a name that is none of timm's own models, with those that are nearest."""
    if not MODEL.fullmatch(name) or not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise InputError(f"model.name: timm has no model {name[:60]!r}{hint}")


def _why_not(architecture: Architecture, error: Exception) -> str:
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown and unknown[1] in architecture.kwargs:
        return f"model.kwargs.{unknown[1]}: {architecture.name} takes no such argument; take it out"
    given = ", ".join(architecture.kwargs)
    return f"model.kwargs: timm cannot build {architecture.name} with {given} ({type(error).__name__}: {error})"


def shrink_stem(model: nn.Module, stride: int) -> None:
    """Replace the first convolution by a 3x3 of the given stride and remove the max-pool after it, in place.

    Raises InputError for models without a convolutional stem, such as ViT and Swin.
    """
    found = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    name, first = next(found, ("", None))
    if first is None or "patch_embed" in name:
        raise InputError(
            f"model.small_stem: {type(model).__name__} starts with patches, not with a convolutional stem; "
            "set it to null and use model.kwargs (patch_size, img_size)"
        )
    stem = nn.Conv2d(first.in_channels, first.out_channels, 3, stride, padding=1, bias=first.bias is not None)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(name, stem)
    if isinstance(getattr(model, "maxpool", None), nn.Module):
        model.maxpool = nn.Identity()


def load_pretrained(model: nn.Module, path: Path) -> None:
    """Load weights to start training from; a classifier or stem of another shape keeps its fresh weights.

    Raises InputError when the file is missing or is of another architecture.
    """
    own = model.state_dict()
    weights = weights_in(path, set(own))
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    unmatched = sorted((set(own) | set(weights)) - set(fitting))
    replaceable = _replaceable(model)
    wrong = [key for key in unmatched if not key.startswith(replaceable) and "num_batches_tracked" not in key]
    if wrong:
        raise InputError(
            f"{path} (model.pretrained) does not fit {type(model).__name__}: no match for "
            f"{and_more(wrong)}; give weights of the same architecture"
        )
    model.load_state_dict(fitting, strict=False)


def load_exactly(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load weights that must fit in every name and shape; raises InputError naming the first that does not."""
    own = model.state_dict()
    wrong = sorted(
        key
        for key in set(own) | set(weights)
        if key not in own or key not in weights or own[key].shape != weights[key].shape
    )
    if wrong:
        key, more = wrong[0], f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        found = tuple(weights[key].shape) if key in weights else "nothing"
        expected = tuple(own[key].shape) if key in own else "nothing"
        raise InputError(
            f"{path} is a checkpoint of another architecture or class list: {key} has {found}, expected {expected}"
            f"{more}; check model.name, model.kwargs and model.small_stem"
        )
    model.load_state_dict(weights)


def weights_in(path: Path, own: set[str]) -> Weights:
    """Return the weights in a file, as training scripts save them, that match most of the names `own` of a model.

    Of several sets the first that is no running average. Raises InputError for a file without any, or that
    `read_content` refuses.
    """
    found = find_weights(read_content(path), own)
    if not found:
        raise InputError(
            f"{path} (model.pretrained) holds no weights of this model, such as {min(own)}; give weights of the same "
            "architecture, saved as its state_dict()"
        )
    return next((one for one in found if not one.averaged), found[0]).weights


def _replaceable(model: nn.Module) -> tuple[str, ...]:
    """Names of the classifier and of the first convolution."""
    stem = next(name for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    return (classifier_name(model) + ".", stem + ".")


def classifier_of(model: nn.Module) -> nn.Module:
    """Return the final linear layer; raises InputError when the model has none or several."""
    classifier = model.get_classifier()  # type: ignore[operator]  # a method of every timm model
    if not isinstance(classifier, nn.Linear):
        raise InputError(f"model.name: {type(model).__name__} has no single linear classifier; choose another model")
    return classifier


def classifier_name(model: nn.Module) -> str:
    """Return the name of the final linear layer within the model, such as "fc" or "head.fc"."""
    classifier = classifier_of(model)
    return next(name for name, module in model.named_modules() if module is classifier)


def parameter_count(module: nn.Module) -> int:
    """Return the number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def freeze(module: nn.Module) -> nn.Module:
    """Make a module a fixed function: eval mode, no gradients; returns it."""
    return module.eval().requires_grad_(False)


def freeze_batchnorm(module: nn.Module) -> None:
    """Put every BatchNorm layer into eval mode: it normalises by its running statistics and no longer updates them."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
