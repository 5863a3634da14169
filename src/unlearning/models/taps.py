"""Reading features inside a classifier: hooks on named modules, every tensor made NCHW."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from unlearning.errors import InputError, did_you_mean
from unlearning.models.backbone import classifier_of

STAGES = 4  # supervision points of the paper, for ResNet-50 and Swin-Tiny alike


@dataclass(frozen=True)
class Stage:
    """Where a stage of the backbone ends."""

    module: str  # name within the model
    channels: int


def stages(model: nn.Module) -> list[Stage]:
    """Return where the (at most) four stages end, in depth order, from timm's `feature_info`.

    Hierarchical backbones: the last four entries (a stem is left out). Backbones of constant resolution, such as ViT:
    blocks at one, two, three and four quarters of the depth.
    """
    info: Any = getattr(model, "feature_info", None)
    if not info:
        raise InputError(
            f"model.name: timm knows no stages (feature_info) of {type(model).__name__}; choose another model"
        )
    entries = list(info)
    count = min(STAGES, len(entries))
    if len({entry["reduction"] for entry in entries}) == 1:
        entries = [entries[len(entries) * (quarter + 1) // count - 1] for quarter in range(count)]
    return [Stage(entry["module"], entry["num_chs"]) for entry in entries[-count:]]


def stage_of_each(model: nn.Module) -> dict[str, int]:
    """Return {name in the state dict: stage it belongs to, from 0}; the classifier comes after the last stage.

    What lies before the end of the first stage, such as the stem, belongs to the first; what lies between two stages to
    the later one; a last normalisation to the last.
    """
    names = list(model.state_dict())
    ends = [max(i for i, name in enumerate(names) if name.startswith(f"{stage.module}.")) for stage in stages(model)]
    head = {id(tensor) for tensor in classifier_of(model).state_dict(keep_vars=True).values()}
    of = {name: sum(end < i for end in ends[:-1]) for i, name in enumerate(names)}
    return of | {name: len(ends) for name, tensor in model.state_dict(keep_vars=True).items() if id(tensor) in head}


def blocks_of(model: nn.Module, stage: Stage) -> list[str]:
    """Return the names of the blocks inside a stage, in order; the stage itself when it is a single block."""
    module = model.get_submodule(stage.module)
    container = module if isinstance(module, nn.Sequential) else getattr(module, "blocks", None)
    if not isinstance(container, nn.Sequential | nn.ModuleList) or len(container) < 2:
        return [stage.module]
    prefix = stage.module if container is module else f"{stage.module}.blocks"
    return [f"{prefix}.{name}" for name, _ in container.named_children()]


def final_blocks(model: nn.Module) -> list[str]:
    """Return the blocks of the last stage; for ViT those after the third supervision point."""
    *earlier, last = stages(model)
    parent, _, number = last.module.rpartition(".")
    if earlier and number.isdigit() and earlier[-1].module.startswith(f"{parent}.") and _constant_resolution(model):
        return [f"{parent}.{block}" for block in range(int(earlier[-1].module.rpartition(".")[2]) + 1, int(number) + 1)]
    return blocks_of(model, last)


def evaluation_layers(model: nn.Module) -> list[str]:
    """Return the layers to look at: the ends of the earlier stages and each block of the last one, in depth order."""
    return [stage.module for stage in stages(model)[:-1]] + final_blocks(model)


def check_layers(model: nn.Module, layers: list[str], key: str) -> list[str]:
    """Return the layers; raises InputError that names the key for one the model has not."""
    known = [name for name, _ in model.named_modules() if name]
    for layer in layers:
        if layer not in known:
            likely = ", ".join(evaluation_layers(model))
            raise InputError(
                f"{key}: the model has no layer {layer!r}{did_you_mean(layer, known)}; for example {likely}"
            )
    return layers


@contextmanager
def tapped(model: nn.Module, layers: list[str], raw: bool = False) -> Iterator[dict[str, Tensor]]:
    """Within the context each forward pass fills the dict with {layer: (B, C, H, W)}, or with the raw outputs."""
    features: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG001
            features[name] = output if raw else to_nchw(output, model)

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def penultimate(model: nn.Module) -> Iterator[list[Tensor]]:
    """Within the context each forward pass puts the classifier's input (B, d) into the list, replacing the last."""
    kept: list[Tensor] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:  # noqa: ARG001
        kept[:] = [inputs[0]]

    handle = classifier_of(model).register_forward_pre_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()


def to_nchw(output: Tensor, model: nn.Module) -> Tensor:
    """Return a block's output as (B, C, H, W): tokens (B, N, C) without prefix tokens, NHWC maps permuted."""
    if output.ndim == 3:
        tokens = output[:, getattr(model, "num_prefix_tokens", 0) :]
        height, width = _grid(tokens.shape[1], model)
        return tokens.transpose(1, 2).unflatten(2, (height, width))
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        return output.permute(0, 3, 1, 2)
    return output


def pooled(features: Tensor) -> Tensor:
    """Return the spatial mean (B, C) of (B, C, H, W)."""
    return features.mean(dim=(2, 3))


def _grid(tokens: int, model: nn.Module) -> tuple[int, int]:
    height, width = getattr(getattr(model, "patch_embed", None), "grid_size", (0, 0))
    if height * width == tokens:
        return height, width
    side = round(tokens**0.5)
    return (side, side) if side * side == tokens else (1, tokens)


def _constant_resolution(model: nn.Module) -> bool:
    return len({entry["reduction"] for entry in model.feature_info}) == 1  # type: ignore[union-attr]


def in_depth_order(model: nn.Module, layers: list[str]) -> list[str]:
    """Return distinct layers in the order in which they end: the model's own, but a block before its stage."""
    names = [f"{name}." for name, _ in model.named_modules()]
    ends = {layer: max(i for i, name in enumerate(names) if name.startswith(f"{layer}.")) for layer in layers}
    return sorted(ends, key=lambda layer: (ends[layer], -len(layer)))
