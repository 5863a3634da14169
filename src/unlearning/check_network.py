"""The network of params.yaml, built without its weights (on torch's meta device): does all that names a part of it fit?

Nothing is computed and nothing is downloaded: shapes alone go through the layers, in a second.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import timm
import torch
from torch import Tensor, nn

from unlearning.errors import Faults, InputError, brief
from unlearning.methods import method_refusals
from unlearning.methods.families.points import EveryPoint, points_of
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build, classifier_of
from unlearning.models.ec_modules import ec_modules
from unlearning.models.kwargs import faults_of
from unlearning.models.supervision import SupervisedNetwork
from unlearning.models.taps import check_layers, evaluation_layers, tapped, to_nchw
from unlearning.params import Model, Recipe, Start

BATCH = 2  # images on the meta device
USUAL_SIZES = (16, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 384, 512)  # px
Layers = dict[str, list[str] | None]  # by their key


class Network:
    """The network of an architecture on the meta device; raises InputError where there is none, or none that works."""

    def __init__(self, shape: Architecture) -> None:
        faults = list(faults_of(shape.kwargs))
        if faults:
            raise Faults("", faults)
        self.shape = shape
        self.model = self._built(shape)
        self.logits = self._of_its_images()

    def _built(self, shape: Architecture) -> nn.Module:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are of what is refused below
            model = build(shape).eval()
        empty = next((name for name, weights in model.named_parameters() if weights.numel() == 0), None)
        if empty is not None:
            raise InputError(f"model.kwargs: {shape.name} with them has nothing in {empty}; give sizes of 1 or more")
        return model

    def _of_its_images(self) -> Tensor:
        """Return the logits of blank images; raises InputError that says which size, or which stem, would do."""
        try:
            return forward(self.model, self.shape, self.shape.image_size)
        except Exception as error:  # networks check little: a wrong size can raise nearly anything
            raise InputError(self._remedy(error)) from None

    def _remedy(self, error: Exception) -> str:
        name, size = self.shape.name, self.shape.image_size
        said = brief(f"{type(error).__name__}: {error}", 60)
        if self.shape.small_stem is not None and works(self._built(_without_stem(self.shape)), self.shape, size):
            return f"model.small_stem: {name} cannot do with a 3x3 stem ({said}); set it to null"
        fitting = next((other for other in USUAL_SIZES if other > size and works(self.model, self.shape, other)), None)
        if fitting is not None:
            return f"data.image_size: {name} does not take images of {size} px ({said}); it takes {fitting}"
        return f"model: {name} does not take images of {size} px (data.image_size, model.kwargs; {said})"


def network_faults(network: Network, model: Model, layers: Layers) -> Iterator[str]:
    """Yield "key: what is wrong" for the weights, the outputs and the layers to be read.

    layers: {key of params.yaml: the names there, or None for the usual ones}.
    """
    if model.pretrained is True and not timm.is_model_pretrained(model.name):
        yield f"model.pretrained: timm has no weights of {model.name!r}; give false or the path of a file"
    yield from _told(lambda: classifier_of(network.model))
    shape, logits = network.shape, network.logits
    if tuple(logits.shape) != (BATCH, shape.classes):
        yield (
            f"model.kwargs: {shape.name} with them gives {tuple(logits.shape[1:])} an image, but {shape.classes} "
            "logits, one a class, were expected; take global_pool and the like out"
        )
        return
    for key, names in layers.items():
        yield from _layer_faults(network, key, names)


def _layer_faults(network: Network, key: str, names: list[str] | None) -> Iterator[str]:
    """Yield what is wrong with layers that are not there, not computed, or have no place to average over."""
    try:
        usual = evaluation_layers(network.model)
        named = check_layers(network.model, usual if names is None else names, key)
    except InputError as error:
        yield str(error)
        return
    features = _outputs(network, named)
    for layer in named:
        feature = features.get(layer)
        if not isinstance(feature, Tensor) or feature.ndim != 4:
            yield f"{key}: {layer!r} gives no map of features of an image; choose others, such as {', '.join(usual)}"
        elif feature.numel() == 0:
            size = network.shape.image_size
            yield f"data.image_size: of {size} px nothing is left at {layer!r}; larger images, or other layers in {key}"


def _outputs(network: Network, layers: list[str]) -> dict[str, Any]:
    """Return what the layers give, as (B, C, H, W) where it is a map, as it is where it is none."""
    with tapped(network.model, layers, raw=True) as raw:
        forward(network.model, network.shape, network.shape.image_size)
    return {layer: _as_map(output, network.model) for layer, output in raw.items()}


def _as_map(output: Any, model: nn.Module) -> Any:
    try:
        return to_nchw(output, model)
    except Exception:  # what is no map of features can raise nearly anything
        return output


def method_faults(network: Network, methods: dict[str, Start], configs: dict[str, Recipe]) -> Iterator[str]:
    """Yield "key: what is wrong" for the supervision points, weights and EC modules of each method."""
    with_modules = any(start.start == "ec_modules" for start in methods.values())
    if with_modules and (faults := list(_told(lambda: _modules(network)))):
        yield from faults
        return
    for name, config in configs.items():
        with suppress(InputError):  # of a network without a classifier, which is told by network_faults
            yield from method_refusals(name, network.model, config)
        if isinstance(config, EveryPoint):
            yield from _point_faults(network, name, config, methods[name].start == "ec_modules")


def _modules(network: Network) -> nn.ModuleDict:
    with torch.device("meta"):
        return ec_modules(network.model).eval()


def _point_faults(network: Network, name: str, config: EveryPoint, starts_with_modules: bool) -> Iterator[str]:
    try:
        points = points_of(network.model, config, name)
    except InputError as error:
        yield str(error)
        return
    faults = list(_layer_faults(network, f"{name}.extra_points", points))
    if faults:
        yield from faults
        return
    modules = _modules(network) if config.modules and starts_with_modules else None
    supervised = SupervisedNetwork(network.model, points, modules).eval()
    try:
        forward(supervised, network.shape, network.shape.image_size)
    except Exception as error:  # as above
        said = brief(f"{type(error).__name__}: {error}", 60)
        yield f"{name}: {network.shape.name} cannot be supervised at {', '.join(points)} ({said})"


def single_value_layers(network: Network) -> list[str]:
    """Return the BatchNorm layers that see one value a channel and image: they cannot learn from a single image."""
    seen: list[str] = []
    norms = {name: part for name, part in network.model.named_modules() if isinstance(part, nn.BatchNorm2d)}
    with _hooked(norms, lambda name, given: seen.append(name) if given.shape[2:].numel() == 1 else None):
        forward(network.model, network.shape, network.shape.image_size)
    return seen


@contextmanager
def _hooked(parts: Mapping[str, nn.Module], look: Callable[[str, Tensor], None]) -> Iterator[None]:
    handles = [
        part.register_forward_pre_hook(lambda _, given, name=name: look(name, given[0])) for name, part in parts.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def forward(model: nn.Module, shape: Architecture, size: int) -> Any:
    """Return what the network gives for blank images of so many px, on the meta device."""
    with torch.no_grad():
        return model(torch.zeros(BATCH, shape.channels, size, size, device="meta"))


def works(model: nn.Module, shape: Architecture, size: int) -> bool:
    """Return whether the network takes images of so many px."""
    try:
        forward(model, shape, size)
    except Exception:  # as above
        return False
    return True


def _without_stem(shape: Architecture) -> Architecture:
    return Architecture(shape.name, shape.kwargs, None, shape.classes, shape.channels, shape.image_size)


def _told(compute: Callable[[], object]) -> Iterator[str]:
    """Yield what the user is told where something is not possible."""
    try:
        compute()
    except InputError as error:
        yield str(error)
