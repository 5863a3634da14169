"""Rebuild the network of this folder, and bring images to it, by torch, torchvision and timm alone.

    from model import load, transform
    network, prepare = load(), transform()
    scores = network(prepare(PIL.Image.open("photo.jpg"))[None])

timm can build most networks by itself (see README.md); this file can build also those with a stem for small images, and
`transform` does what was done when the network was measured.
"""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import nn
from torchvision.transforms import v2

HERE = Path(__file__).parent


def load(folder: Path = HERE) -> nn.Module:
    """Return the network with its weights, in evaluation mode, on the CPU."""
    config, weights = _config(folder), load_file(folder / "model.safetensors")
    network: nn.Module = timm.create_model(
        config["architecture"], num_classes=config["num_classes"], **config["model_args"]
    )
    small_stem = config["erasure"]["small_stem"]
    if small_stem is not None:
        name, stride = small_stem["layer"], small_stem["stride"]
        filters, channels, height, width = weights[f"{name}.weight"].shape
        bias = f"{name}.bias" in weights
        network.set_submodule(name, nn.Conv2d(channels, filters, (height, width), stride, padding=1, bias=bias))
        if isinstance(getattr(network, "maxpool", None), nn.Module):
            network.maxpool = nn.Identity()
    network.load_state_dict(weights)
    return network.eval()


def transform(folder: Path = HERE) -> v2.Compose:
    """Return what makes a float32 (C, H, W) of a PIL image, of any size and mode."""
    config = _config(folder)
    expected, resize = config["pretrained_cfg"], config["erasure"]["eval_resize"]
    channels, size = expected["input_size"][0], expected["input_size"][-1]
    mode = "L" if channels == 1 else "RGB"
    # One number: the shorter side, then the centre; two: stretched to height and width; none: as the network sees it.
    side = (resize or [size])[0]
    scaling: list[nn.Module] = [v2.Resize(resize)] if len(resize) == 2 else [v2.Resize(side), v2.CenterCrop(side)]

    def upright(image: Image.Image) -> Image.Image:
        return ImageOps.exif_transpose(image).convert(mode)

    return v2.Compose(
        [
            upright,
            v2.PILToTensor(),
            *scaling,
            v2.CenterCrop(size),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(expected["mean"], expected["std"]),
        ]
    )


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config
