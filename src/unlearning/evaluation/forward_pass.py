"""One forward pass over one split, keeping what the metrics need; every metric is a function of what is kept."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.engine.launch import Launch
from unlearning.errors import InputError
from unlearning.evaluation.shared import PENULTIMATE
from unlearning.models.taps import penultimate, tapped, to_nchw

PREDICTIONS = "predictions"


@dataclass
class Pass:
    """What is kept of a split, on the CPU: predictions of all n samples, logits and features of m of them."""

    predictions: Tensor  # int64 (n,), arg-max over all classes, in the order of the split
    labels: Tensor  # int64 (n,)
    positions: Tensor  # int64 (m,), sorted: the samples that logits and features are kept of
    logits: Tensor  # float32 (m, classes)
    features: dict[str, Tensor]  # layer: float32 (m, d), pooled; "penultimate" is always there
    maps: dict[str, Tensor] = field(default_factory=dict)  # layer: outputs, raw or pooled, for `map_positions`
    layer_rows: Tensor | None = None  # int64 (k,), sorted: of the m, all that layers but the last have; None = all

    @property
    def kept_labels(self) -> Tensor:
        """Labels, int64 (m,), of the samples whose features are kept."""
        return self.labels[self.positions]

    def of_layer(self, layer: str, rows: Tensor | slice) -> Tensor:
        """Return the features of a layer for some of the kept samples, which it must have."""
        kept = self.features[layer]
        if self.layer_rows is None or layer == PENULTIMATE:
            return kept[rows]
        assert isinstance(rows, Tensor)
        places = torch.searchsorted(self.layer_rows, rows)
        assert torch.equal(self.layer_rows[places], rows)
        return kept[places]


@torch.no_grad()
def forward_pass(
    model: nn.Module,
    images: ImageSplit,
    launch: Launch,
    batch_size: int,
    what: str,
    keep: np.ndarray | None = None,
    layers: list[str] | None = None,
    map_layers: list[str] | None = None,
    map_positions: np.ndarray | None = None,
    pool_maps: bool = False,
    layer_rows: np.ndarray | None = None,
) -> Pass:
    """Run the model in eval mode over the whole split, once, without augmentation.

    what: names model and split in messages, e.g. "ec on the test split". keep: sorted positions whose logits,
    penultimate and pooled features of `layers` are kept; None = all. map_layers: keep the outputs of these for the
    sorted positions `map_positions`: raw in the pass's precision or, with `pool_maps`, pooled, float32. layer_rows:
    sorted, of the samples in `keep` those that features of `layers` are kept of; None = all. Raises InputError naming
    the layer whose features are not finite. Several processes share the batches; each holds all of what is kept in the
    end.
    """
    model = model.eval().to(launch.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    layers, map_layers = layers or [], map_layers or []
    count = len(images.labels)
    positions = np.arange(count) if keep is None else keep
    layered = positions if layer_rows is None else positions[layer_rows]
    chosen, of_layers, mapped = (_mask(some, count) for some in (positions, layered, map_positions))
    plans = launch.dealt(in_order(np.arange(count), batch_size))
    own = torch.cat([plan.positions for plan in plans]) if plans else torch.empty(0, dtype=torch.int64)
    kept, here, layered_here, mapped_here = Growing(what), *(int(one[own].sum()) for one in (chosen, of_layers, mapped))
    taps = list(dict.fromkeys([*layers, *map_layers]))
    with tapped(model, taps, raw=True) as outputs, penultimate(model) as last:
        for batch in images.batches(plans):
            with launch.autocast():
                logits = model(batch.images)
            kept.add(PREDICTIONS, logits.argmax(dim=1), len(own))
            rows = _rows(of_layers[batch.positions], launch.device)
            for layer in layers:
                kept.add(f"features of {layer}", _pooled(outputs[layer][rows], model), layered_here)
            rows = _rows(chosen[batch.positions], launch.device)
            kept.add(f"features of {PENULTIMATE}", last[0][rows].float(), here)
            kept.add("logits", logits[rows].float(), here)
            rows = _rows(mapped[batch.positions], launch.device)
            for layer in map_layers:
                maps = outputs[layer][rows]
                kept.add(f"maps of {layer}", _pooled(maps, model) if pool_maps else maps, mapped_here)
    found = launch.joined(kept.tensors)
    return Pass(
        found[PREDICTIONS],
        images.labels,
        torch.from_numpy(positions),
        found["logits"],
        {layer: found[f"features of {layer}"] for layer in [*layers, PENULTIMATE]},
        {layer: found[f"maps of {layer}"] for layer in map_layers},
        None if layer_rows is None else torch.from_numpy(layer_rows),
    )


class Growing:
    """Arrays on the CPU, each filled batch by batch: no second copy is made to join the batches."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.tensors: dict[str, Tensor] = {}
        self._filled: dict[str, int] = {}

    def add(self, name: str, values: Tensor, total: int) -> None:
        """Append rows to the array `name`, which will have `total` of them; refuse NaN and infinity."""
        if not values.isfinite().all():
            raise InputError(f"{self.what}: the {name} hold NaN or infinity; the model is broken, make it again")
        begin = self._filled.setdefault(name, 0)
        if name not in self.tensors:
            self.tensors[name] = torch.empty(total, *values.shape[1:], dtype=values.dtype)
        self.tensors[name][begin : begin + len(values)] = values.cpu()
        self._filled[name] = begin + len(values)


def _pooled(maps: Tensor, model: nn.Module) -> Tensor:
    return to_nchw(maps, model).mean(dim=(2, 3), dtype=torch.float32)


def _mask(positions: np.ndarray | None, count: int) -> Tensor:
    mask = torch.zeros(count, dtype=torch.bool)
    if positions is not None:
        mask[torch.from_numpy(positions)] = True
    return mask


def _rows(mask: Tensor, device: torch.device) -> Tensor | slice:
    """Return what selects the rows: a slice where it is all of them, which copies nothing."""
    return slice(None) if mask.all() else mask.to(device)
