"""UNSC: pseudo-labelling within the null space of the retain set's activations, layer by layer.

Chen et al., "Unlearning via Null Space Calibration", IJCAI 2024, official code (notebooks, `utils.py`). For each
convolution and linear layer the inputs of retain images span a subspace; the gradient of its weight loses its part in
that subspace, so the outputs for those images stay what they were, up to the energy that the bases leave out. Biases
and norms are frozen, BatchNorm is in eval mode. Deviations from the official code: bases are found by module name, not
by position in a list; patches respect stride, padding and groups; the basis keeps the fewest vectors that reach
`energy` (official: one fewer); parameters of no such layer (tokens, position tables) are frozen too instead of learning
freely.
"""

from collections.abc import Iterator
from typing import Any

import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.bounds import Images, Portion
from unlearning.counts import Counts
from unlearning.data.batches import in_order
from unlearning.engine.run import Run
from unlearning.engine.validation import eval_mode
from unlearning.errors import InputError
from unlearning.methods.families.pseudo_labels import towards_pseudo_labels
from unlearning.models.backbone import freeze_batchnorm
from unlearning.params import UnlearnRecipe
from unlearning.seeds import generator
from unlearning.symmetric import eigh

Layer = nn.Conv2d | nn.Linear
LINEAR = (nn.Conv2d, nn.Linear, Conv2dSame)  # not their other subclasses, such as weight-standardised convolutions
BASIS_BATCH = 32  # images whose patches are in memory at once


class Config(UnlearnRecipe):
    basis_samples: Images  # retain images
    energy: Portion  # share of the squared singular values that the basis keeps

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size)

    def scanned(self, images: Counts) -> int:
        return min(self.basis_samples, images.retain)


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield CE(forget, pseudo-label); gradients are projected before each step.

    Raises InputError for settings that leave the null space.
    """
    refused = refusals(run.model, cfg)
    if refused:
        raise InputError(refused[0])
    teacher = run.teacher()
    bases = {name: basis(gram, cfg.energy) for name, gram in activation_grams(run, cfg.basis_samples).items()}
    project_gradients(run.model, bases)
    network = run.optimise(run.model, cfg)
    freeze_batchnorm(run.model)
    yield from towards_pseudo_labels(run, cfg, network, teacher)


def refusals(model: nn.Module, cfg: Config) -> list[str]:  # noqa: ARG001 - as other methods have it
    """Return what is wrong with weight decay, which no projection sees, and optimisers that scale each coordinate."""
    lines = []
    if cfg.weight_decay:
        lines.append("unsc.weight_decay: it would move weights outside the null space; set it to 0.0")
    if cfg.optimizer != "sgd":
        lines.append(f"unsc.optimizer: {cfg.optimizer} would turn steps out of the null space; use sgd")
    return lines


def activation_grams(run: Run, samples: int) -> dict[str, Tensor]:
    """Return, per layer name, the sum of a a^T over the input columns a of randomly chosen retain images.

    float64 (groups, d, d), d the inputs of one output unit: C/groups k_h k_w for a convolution.
    """
    positions = run.manifest.select("train", "retain")
    order = torch.randperm(len(positions), generator=generator(run.seed, run.name, "basis"))
    plans = in_order(positions[order[:samples].numpy()], BASIS_BATCH)
    model, grams = run.launch.place(run.model), dict[str, Tensor]()

    def add(name: str) -> Any:
        def hook(layer: Layer, inputs: tuple[Tensor, ...]) -> None:
            if type(layer) not in LINEAR:
                raise InputError(
                    f"{run.name}: {name} is a {type(layer).__name__}, whose output is not its weight times its input; "
                    f"choose a model without such layers, or drop {run.name} from methods"
                )
            columns = input_columns(layer, inputs[0])
            gram = columns @ columns.mT
            grams[name] = grams[name] + gram if name in grams else gram

        return hook

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Layer)}
    hooks = [layer.register_forward_pre_hook(add(name)) for name, layer in layers.items()]
    with eval_mode(model), torch.no_grad():
        for batch in run.whole_split.batches(plans):
            run.launch.in_precision(model)(batch.images)
    for handle in hooks:
        handle.remove()
    return grams


def input_columns(layer: Layer, inputs: Tensor) -> Tensor:
    """Return the inputs of every output unit as columns, float64 (groups, d, n)."""
    if isinstance(layer, nn.Linear):
        return inputs.double().flatten(0, -2).T[None]
    images = padded(layer, inputs.double())
    patches = F.unfold(images, layer.kernel_size, layer.dilation, padding=0, stride=layer.stride)
    return patches.transpose(0, 1).flatten(1).unflatten(0, (layer.groups, -1))


def padded(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Return the inputs as the convolution pads them."""
    if isinstance(layer, Conv2dSame):
        return pad_same(inputs, list(layer.kernel_size), list(layer.stride), list(layer.dilation))
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)


def basis(gram: Tensor, energy: float) -> Tensor:
    """Return U (groups, d, k): the fewest leading eigenvectors of a gram that hold `energy` of its trace.

    gram (groups, d, d). Columns of zeros stand in where a group needs fewer than another. Inputs that are always 0,
    such as those where a kernel sees the padding alone, are in no eigenvector: they are left out, and take no time.
    """
    seen = (gram.diagonal(dim1=-2, dim2=-1) > 0).any(dim=0).nonzero()[:, 0]
    values, vectors = (one.flip(-1) for one in eigh(gram[:, seen[:, None], seen]))
    noise = values[..., :1] * values.shape[-1] * torch.finfo(values.dtype).eps
    values = values.where(values > noise, 0)
    total = values.cumsum(dim=-1)
    kept = total - values < energy * total[..., -1:]  # the vectors ahead of each hold less than that
    kept &= values > 0
    leading = gram.new_zeros(len(gram), gram.shape[-1], int(kept.sum(dim=-1).amax()))
    leading[:, seen] = (vectors * kept[:, None, :])[..., : leading.shape[-1]]
    return leading


def project_gradients(model: nn.Module, bases: dict[str, Tensor]) -> None:
    """Freeze every parameter but the weights of layers with a basis, and let their gradients lose their part in it."""
    model.requires_grad_(False)
    for name, spanning in bases.items():
        weight = model.get_parameter(f"{name}.weight")
        weight.requires_grad_(True)
        weight.register_hook(lambda gradient, spanning=spanning: outside(gradient, spanning))


def outside(gradient: Tensor, spanning: Tensor) -> Tensor:
    """Return g - g U U^T for the gradient of a weight (out, ...), per group of outputs: U (groups, d, k)."""
    rows = gradient.double().reshape(len(spanning), -1, spanning.shape[1])
    return (rows - rows @ spanning @ spanning.mT).reshape(gradient.shape).to(gradient.dtype)
