"""Six architectures, built once, with what their stages are expected to be."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build

CLASSES = ["ant", "bee", "cat", "dog", "elk"]
SMALL = Architecture("resnet18", {"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128]}, None, len(CLASSES), 3, 64)


@dataclass(frozen=True)
class Case:
    architecture: Architecture
    stages: list[str]
    channels: list[int]
    last_blocks: list[str]


def _case(name: str, kwargs: dict, stages: list[str], channels: list[int], last_blocks: list[str]) -> Case:
    return Case(Architecture(name, kwargs, None, len(CLASSES), 3, 64), stages, channels, last_blocks)


CASES = {
    "basic_resnet": _case(
        SMALL.name, SMALL.kwargs, ["layer1", "layer2", "layer3", "layer4"], [16, 32, 64, 128], ["layer4"]
    ),
    "resnet50": _case(
        "resnet50",
        {},
        ["layer1", "layer2", "layer3", "layer4"],
        [256, 512, 1024, 2048],
        ["layer4.0", "layer4.1", "layer4.2"],
    ),
    "swin": _case(
        "swin_tiny_patch4_window7_224",
        {"img_size": 64, "window_size": 2},
        ["layers.0", "layers.1", "layers.2", "layers.3"],
        [96, 192, 384, 768],
        ["layers.3.blocks.0", "layers.3.blocks.1"],
    ),
    "vit": _case(
        "vit_tiny_patch16_224",
        {"img_size": 64},
        ["blocks.2", "blocks.5", "blocks.8", "blocks.11"],
        [192, 192, 192, 192],
        ["blocks.9", "blocks.10", "blocks.11"],
    ),
    "convnext": _case(
        "convnext_atto",
        {},
        ["stages.0", "stages.1", "stages.2", "stages.3"],
        [40, 80, 160, 320],
        ["stages.3.blocks.0", "stages.3.blocks.1"],
    ),
    "efficientnet": _case(
        "efficientnet_b0", {}, ["blocks.1", "blocks.2", "blocks.4", "blocks.6"], [24, 40, 112, 320], ["blocks.6"]
    ),
}


@dataclass(frozen=True)
class Backbone:
    """Shared by the whole session: in eval mode, to be copied before it is trained."""

    model: nn.Module
    images: Tensor
    case: Case


def enliven(model: nn.Module) -> nn.Module:
    """Spread every constant weight and batch statistic, so that no layer is an identity or without effect."""
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point() and tensor.min() == tensor.max() and "attn_mask" not in name:
                tensor += 0.6 * (torch.rand_like(tensor) - 0.5)
    return model.eval()


@pytest.fixture(scope="session", params=CASES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Return each of the six architectures in turn."""
    torch.manual_seed(0)
    case = CASES[request.param]
    return Backbone(enliven(build(case.architecture)), torch.randn(3, 3, 64, 64), case)
