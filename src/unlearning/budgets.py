"""What a run would need, reckoned before it starts: optimiser steps, memory and disk, against the limits of `budget:`.

The limits are far above what anyone has published: they catch what no machine could serve, not what is slow.
Memory is reckoned from what must be there at once: weights, gradients, moments and a teacher, and each layer's output
for the images of a step; or the features that are kept to measure by. Both in float32; neither counts what torch adds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.counts import Counts
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.backbone import architecture, build, parameter_count
from unlearning.models.taps import evaluation_layers, pooled, tapped
from unlearning.params import Budget, Data, Model, Params, Recipe, rows_of

FLOAT = 4  # bytes
COPIES = 5  # of the weights: themselves, gradients, two moments of Adam, a teacher
SIDES = 2  # batches in one step: forget and retain images, or two views
IMAGES = 2  # on the meta device
GIGA = 1e9


@dataclass(frozen=True)
class Sizes:
    """Of a network: numbers (float32), not bytes."""

    weights: int
    outputs: int  # of all its layers, for one image
    layers: int  # features of the layers that are looked at, for one image
    last: int  # of the last feature and the logits, for one image

    @property
    def features(self) -> int:
        """All features of one image."""
        return self.layers + self.last


def sizes_of(model: nn.Module, channels: int, size: int) -> Sizes:
    """Measure a network that stands on the meta device; size: px of its images. Raises what the network raises."""
    outputs: list[int] = []

    def add(module: nn.Module, given: Any, output: Any) -> None:  # noqa: ARG001
        outputs.append(output.numel() if isinstance(output, Tensor) else 0)

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(add) for leaf in leaves]
    try:
        with torch.no_grad(), tapped(model, evaluation_layers(model)) as features:
            logits = model(torch.zeros(IMAGES, channels, size, size, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    widths = sum(pooled(feature).shape[1] for feature in features.values())
    last = max(feature.shape[1] for feature in features.values())
    return Sizes(parameter_count(model), sum(outputs) // IMAGES, widths, last + logits.shape[-1])


def training_faults(
    key: str, recipe: Recipe, images: Counts, sizes: Sizes | None, budget: Budget, most: int | None = None
) -> Iterator[str]:
    """Yield what one training, of the block `key`, would need beyond the budget; most: images computed at once."""
    steps, batch = recipe.steps(images), recipe.batch_size
    if steps > budget.steps:
        yield (
            f"{key}: {steps:,} steps ({recipe.epochs:,} epochs, {images.training:,} images, {batch} a batch) are more "
            f"than budget.steps {budget.steps:,}; lower epochs, or raise that"
        )
    if sizes is not None:
        whole = SIDES * min(batch, images.training)
        at_once = min(whole, most or whole) * sizes.outputs + COPIES * sizes.weights
        weights = f"{COPIES} x {sizes.weights / 1e6:.3g} M weights"
        told = f"{SIDES} x {batch:,} images x {sizes.outputs / 1e6:.3g} M outputs and {weights}"
        yield from _memory(f"{key}.batch_size", at_once, told, budget)


def evaluation_faults(params: Params, images: Counts, sizes: Sizes | None) -> Iterator[str]:
    """Yield what measuring one model would need beyond the budget."""
    evaluate, relearn, shots, budget = params.evaluate, params.relearn, params.attacks.shots, params.budget
    attacks = relearn.draws * len(shots) * len(relearn.lrs) * relearn.steps
    if attacks > budget.steps:
        yield (
            f"relearn: {relearn.draws:,} draws x {len(shots)} shots x {len(relearn.lrs)} lrs x {relearn.steps:,} = "
            f"{attacks:,} steps are more than budget.steps {budget.steps:,}; lower one, or raise that"
        )
    if sizes is not None:
        train, test = (min(evaluate.max_samples, count) for count in (images.training, images.judging))
        kept, layered = train + test, min(params.linear_probe.layer_samples, train) + test
        told = f"{kept:,} images x {sizes.last:,} features and {layered:,} x {sizes.layers:,} of layers"
        yield from _memory("evaluate.max_samples", kept * sizes.last + layered * sizes.layers, told, budget)
        batch = min(evaluate.batch_size, max(images.training, images.judging))
        told = f"{batch:,} images x {sizes.outputs / 1e6:.3g} M outputs"
        yield from _memory("evaluate.batch_size", batch * sizes.outputs, told, budget)


def data_faults(data: Data, images: Counts, channels: int, budget: Budget) -> Iterator[str]:
    """Yield what the images would need beyond the budget, where they are held in memory."""
    count = images.training + images.judging
    size = count * channels * data.image_size**2
    if size <= data.resident_gb * GIGA and size > budget.memory_gb * GIGA:
        yield (
            f"data.resident_gb: {count:,} images x {channels} x {data.image_size}^2 px = {_gb(size)} are more than "
            f"budget.memory_gb {budget.memory_gb:g}; lower it, so that they are streamed, or raise that"
        )


def disk_faults(params: Params, images: Counts, sizes: Sizes, budget: Budget) -> Iterator[str]:
    """Yield what all models and features of a run would take on disk beyond the budget."""
    rows, seeds = len(rows_of(params)), len(params.seeds)
    shared = min(params.evaluate.shared_samples, images.training + images.judging)
    one = (sizes.weights + shared * sizes.features) * FLOAT
    if rows * seeds * one > budget.disk_gb * GIGA:
        each = f"{sizes.weights / 1e6:.3g} M weights, {shared:,} images' features"
        total = f"{_gb(rows * seeds * one)}, more than budget.disk_gb {budget.disk_gb:g}"
        yield f"seeds: {rows} models x {seeds} seeds x {_gb(one)} ({each}) = {total}; lower them, or raise that"


def refuse_excess(key: str, recipe: Recipe, params: Params, manifest: Manifest) -> None:
    """Raise InputError, with the reckoning, where a training would need more than `budget:` allows."""
    images, sizes = counts_of(manifest), _sizes(params.model, manifest)
    for fault in training_faults(key, recipe, images, sizes, params.budget, params.max_images_per_device):
        raise InputError(f"params.yaml: {fault}")


def refuse_excess_of_measuring(params: Params, manifest: Manifest) -> None:
    """Raise InputError, with the reckoning, where measuring a model would need more than `budget:` allows."""
    images, sizes = counts_of(manifest), _sizes(params.model, manifest)
    for fault in evaluation_faults(params, images, sizes):
        raise InputError(f"params.yaml: {fault}")


def counts_of(manifest: Manifest) -> Counts:
    """Return how many images a manifest has."""
    forget, retain = (len(manifest.select("train", part)) for part in ("forget", "retain"))
    return Counts(forget, retain, sum(len(manifest.splits[name].labels) for name in ("validation", "test")))


def _sizes(model: Model, manifest: Manifest) -> Sizes | None:
    """Return the sizes of the network of params.yaml, or None where it cannot be measured so."""
    return measured(lambda: build(architecture(model, manifest)), manifest.channels, manifest.image_size)


def measured(make: Callable[[], nn.Module], channels: int, size: int) -> Sizes | None:
    """Return the sizes of a network that is built on the meta device; None where it raises: that is told elsewhere."""
    try:
        with torch.device("meta"):
            model = make().eval()
        return sizes_of(model, channels, size)
    except Exception:  # networks check little, and some do not run on the meta device
        return None


def _memory(key: str, numbers: int, reckoning: str, budget: Budget) -> Iterator[str]:
    if numbers * FLOAT > budget.memory_gb * GIGA:
        yield (
            f"{key}: {reckoning} = {_gb(numbers * FLOAT)} at once, more than budget.memory_gb {budget.memory_gb:g}; "
            "lower it, or raise that"
        )


def _gb(size: float) -> str:
    return f"{size / GIGA:,.0f} GB" if size >= 10 * GIGA else f"{size / GIGA:.2g} GB"
