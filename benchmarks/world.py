"""What is measured on: pictures of noise in the shape of CIFAR-100, the scenario of the small table, and ResNet-50."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmarks.side_by_side import DEVICE
from unlearning.counts import Counts
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch, launch
from unlearning.engine.run import Run
from unlearning.estimating.noise import noise
from unlearning.estimating.trainings import run_on
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.params import Train
from unlearning.params_file import load_params
from unlearning.scenario import values_of, write_values

ROOT = Path(__file__).parents[1]
SCENARIO = "cifar100_random10_small"
CLASSES, SIZE = 100, 32
FORGOTTEN_SHARE = 10  # one in so many, of the classes and of the images
SMALL = Architecture("resnet18", {"layers": [1, 1, 1, 1], "channels": [32, 64, 128, 256]}, None, CLASSES, 3, SIZE)
LARGE = Architecture("resnet50", {}, 1, CLASSES, 3, SIZE)


@contextmanager
def workspace(images: int, test_images: int = 0) -> Iterator[Manifest]:
    """Go to a folder with the scenario's params.yaml and a split of noise; give its manifest."""
    forget = images // FORGOTTEN_SHARE
    with noise(Counts(forget, images - forget, test_images), CLASSES, 3, SIZE, CLASSES // FORGOTTEN_SHARE) as manifest:
        shutil.copyfile(ROOT / "params.yaml", "params.yaml")
        write_values(values_of(ROOT / "scenarios" / f"{SCENARIO}.yaml"), SCENARIO, Path("params.yaml"))
        yield manifest


def place(precision: str = "auto") -> Launch:
    """Return where is computed: the GPU if there is one."""
    return launch(precision)


def network(architecture: Architecture = SMALL) -> nn.Module:
    """Return a network with fresh weights, on the device."""
    torch.manual_seed(0)
    return build(architecture).to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]


def run_of(name: str, manifest: Manifest, model: nn.Module, where: Launch, with_modules: bool = False) -> Run:
    """Return a run that begins anew, whatever ran before."""
    return run_on(manifest, name, where, model, network, with_modules)


def photos(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normalised noise and labels on the device, channels-last."""
    images = torch.randn(count, 3, SIZE, SIZE, device=DEVICE).contiguous(memory_format=torch.channels_last)
    return images, torch.arange(count, device=DEVICE) % CLASSES


def recipe() -> Train:
    """Return the recipe that the original is trained by."""
    return load_params().train
