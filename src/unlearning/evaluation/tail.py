"""The rest of a classifier after one layer, as a network of its own: that layer's output to the penultimate feature."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.models.supervision import blank_image
from unlearning.models.taps import penultimate


class Tail(nn.Module):
    """A copy of what follows `layer` in `model`, for any architecture; it stays on the model's device.

    The copy runs on one blank image, and at `layer` a hook puts the given features (any batch size) in the place of the
    blank one's. What runs before answers what it answered the first time: it costs nothing and gets no gradient.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.layer = layer
        outputs, self.late = modules_around(self.model, layer)
        for module, output in outputs.items():
            module.forward = lambda *_, output=output, **__: output
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

    def late_buffers(self) -> list[Tensor]:
        """Return the buffers between the layer and the classifier, such as batch statistics."""
        return [buffer for module in self.late for buffer in module.buffers(recurse=False)]

    def train(self, mode: bool = True) -> "Tail":
        """Put only the modules after the layer in training mode: one blank image has no batch statistics."""
        super().train(False)
        for module in self.late:
            module.training = mode
        return self


def modules_around(model: nn.Module, layer: str) -> tuple[dict[nn.Module, Any], list[nn.Module]]:
    """Return {module: output} of what ends by the end of `layer`, on a blank image, and what first begins after it.

    Both hold leaves and containers. The first leaves out what runs more than once, the second the classifier.
    """
    begun: list[nn.Module] = []
    outputs: dict[nn.Module, Any] = {}
    cut: list[int] = []  # how many had begun when the layer ended

    def end(module: nn.Module, _: Any, output: Any) -> None:
        if not cut:
            outputs[module] = output
        if module is target:
            cut.append(len(begun))

    target = model.get_submodule(layer)
    handles = [module.register_forward_pre_hook(lambda module, _: begun.append(module)) for module in model.modules()]
    handles += [module.register_forward_hook(end) for module in model.modules()]
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
    times, before = Counter(begun), set(begun[: cut[0]])
    classifier = model.get_classifier()  # type: ignore[operator]
    late = [module for module in dict.fromkeys(begun[cut[0] :]) if module not in before and module is not classifier]
    return {module: output for module, output in outputs.items() if times[module] == 1}, late
