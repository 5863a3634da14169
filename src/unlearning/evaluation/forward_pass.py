"""One forward pass over one split, keeping what the metrics need; every metric is a function of what is kept."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.errors import InputError
from unlearning.models.taps import penultimate, pooled, tapped, to_nchw
from unlearning.seeds import derive_seed

PENULTIMATE = "penultimate"


@dataclass
class Pass:
    """What is kept of n samples, on the CPU, in the order of the split."""

    predictions: Tensor  # int64 (n,), arg-max over all classes
    labels: Tensor  # int64 (n,)
    features: dict[str, Tensor] = field(default_factory=dict)  # layer: float32 (n, d), pooled; with "penultimate"
    maps: dict[str, Tensor] = field(default_factory=dict)  # layer: raw outputs for the samples `map_positions`


@torch.no_grad()
def forward_pass(
    model: nn.Module,
    images: ImageSplit,
    launch: Launch,
    batch_size: int,
    layers: list[str] | None = None,
    map_layers: list[str] | None = None,
    map_positions: np.ndarray | None = None,
) -> Pass:
    """Run the model in eval mode over the whole split, once, without augmentation.

    layers: keep the pooled features of these and the penultimate one. map_layers: keep the raw outputs of these for
    the sorted positions `map_positions`. Raises InputError naming the layer whose features are not finite.
    """
    model = model.eval().to(launch.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    wanted = torch.zeros(len(images.labels), dtype=torch.bool)
    if map_positions is not None:
        wanted[torch.from_numpy(map_positions)] = True
    kept: dict[str, list[Tensor]] = {}

    def keep(name: str, value: Tensor) -> None:
        kept.setdefault(name, []).append(value.float().cpu())

    predictions = []
    taps = list(dict.fromkeys([*(layers or []), *(map_layers or [])]))
    with tapped(model, taps, raw=True) as outputs, penultimate(model) as last:
        for batch in images.batches(in_order(np.arange(len(images.labels)), batch_size)):
            with launch.autocast():
                predictions.append(model(batch.images).argmax(dim=1).cpu())
            for layer in layers or []:
                keep(f"features/{layer}", pooled(to_nchw(outputs[layer], model)))
            if layers is not None:
                keep(f"features/{PENULTIMATE}", last[0])
            rows = wanted[batch.positions]
            for layer in map_layers or [] if rows.any() else []:
                keep(f"maps/{layer}", outputs[layer][rows.to(launch.device)])
    joined = {name: torch.cat(parts) for name, parts in kept.items()}
    for name, values in joined.items():
        if not values.isfinite().all():
            raise InputError(f"the {name} of {type(model).__name__} hold NaN or infinity; the model is broken")
    return Pass(
        torch.cat(predictions),
        images.labels,
        {name.removeprefix("features/"): value for name, value in joined.items() if name.startswith("features/")},
        {name.removeprefix("maps/"): value for name, value in joined.items() if name.startswith("maps/")},
    )


def balanced_sample(manifest: Manifest, split: str, max_samples: int, seed: int) -> np.ndarray:
    """Return sorted positions of equally many forget and retain samples, `max_samples` at most in all."""
    forget, retain = manifest.select(split, "forget"), manifest.select(split, "retain")
    count = min(len(forget), len(retain), max_samples // 2)
    random = np.random.default_rng(derive_seed(seed, "balanced"))
    return np.sort(np.concatenate([random.choice(part, count, replace=False) for part in (forget, retain)]))
