"""The rest of a classifier after one layer, as a network of its own: that layer's output to the penultimate feature."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.models.supervision import blank_image
from unlearning.models.taps import penultimate


class Tail(nn.Module):
    """A copy of what follows `layer` in `model`, for any architecture.

    The whole model runs on one blank image, and at `layer` a hook puts the given features (any batch size) in the place
    of the blank one's; what runs before costs next to nothing and gets no gradient.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.layer = layer
        self.late = modules_after(self.model, layer)
        self.register_buffer("blank", blank_image(model), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map the layer's raw output for B images to their penultimate features (B, d)."""

        def inject(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:  # noqa: ARG001
            return features

        handle = self.model.get_submodule(self.layer).register_forward_hook(inject)
        try:
            with penultimate(self.model) as last:
                self.model(self.blank)
        finally:
            handle.remove()
        return last[0]

    def late_parameters(self) -> list[nn.Parameter]:
        """Return the parameters between the layer and the classifier."""
        return [parameter for module in self.late for parameter in module.parameters(recurse=False)]

    def train(self, mode: bool = True) -> "Tail":
        """Put only the modules after the layer in training mode: one blank image has no batch statistics."""
        super().train(False)
        for module in self.late:
            module.training = mode
        return self


def modules_after(model: nn.Module, layer: str) -> list[nn.Module]:
    """Return the modules, leaves and containers, that first run after `layer`, without the classifier."""
    order: list[nn.Module] = []
    classifier = model.get_classifier()  # type: ignore[operator]
    handles = [module.register_forward_pre_hook(lambda module, _: order.append(module)) for module in model.modules()]
    end = object.__new__(nn.Module)
    handles.append(model.get_submodule(layer).register_forward_hook(lambda *_: order.append(end)))
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            model(blank_image(model))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    cut = next(position for position, module in enumerate(order) if module is end)
    before = {id(module) for module in order[:cut]}
    late = [module for module in order[cut + 1 :] if id(module) not in before and module is not classifier]
    return list(dict.fromkeys(late))
