"""SalUn, saliency unlearning: random labelling of the weights that matter most to the forget set.

Fan et al., ICLR 2024, official code (Unlearn-Saliency/Classification): a mask of the top fraction of |gradient of the
forget loss| over all parameters together; then RL under it. Weights outside the mask are put back after each step, so
neither momentum nor weight decay moves them (official since February 2026). BatchNorm trains, and its running
statistics, no parameters, follow. Deviation: the mask's gradient is summed over samples, not over the means of batches,
so a smaller last batch counts for what it is. The EC paper's SalUn has no retain pass (`variant: ec_paper`).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.bounds import Portion
from unlearning.counts import Counts
from unlearning.data.manifest import Part
from unlearning.engine.run import Run
from unlearning.engine.validation import eval_mode
from unlearning.methods.families.random_labels import BOTH, FORGET_ALONE, RandomLabelConfig, towards_random_labels


class Config(RandomLabelConfig):
    variant: Literal["official", "ec_paper"]  # ec_paper: forget images only (UUEF's code)
    saliency: Portion  # share of the weights that learn

    @property
    def parts(self) -> tuple[Part, ...]:
        return BOTH if self.variant == "official" else FORGET_ALONE

    def scanned(self, images: Counts) -> int:
        return images.forget


SAMPLES = True  # the loss asks for no missing class


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield the losses of RL, with the weights outside the saliency mask held where they are."""
    gradients = forget_gradients(run)
    masks = saliency_masks(gradients, cfg.saliency)
    held = Held(run.model, masks)
    network = run.optimise(run.model, cfg)
    run.after_each_step(held.put_back)
    yield from towards_random_labels(run, cfg, network)


def forget_gradients(run: Run) -> list[Tensor]:
    """Return the gradient of the summed cross-entropy over the forget set for each parameter, in eval mode."""
    model = run.launch.place(run.model)
    with eval_mode(model):
        for batch in run.scan("forget"):
            F.cross_entropy(run.launch.in_precision(model)(batch.images), batch.labels, reduction="sum").backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    return gradients


def saliency_masks(gradients: list[Tensor], share: float) -> list[Tensor]:
    """Return bool masks of the given shapes: true for the share of all entries together that are largest in size.

    Their number is the integer part of share times the number of entries (official).
    """
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients])
    chosen = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    chosen[sizes.topk(integer_part(share, len(sizes))).indices] = True
    parts = chosen.split([gradient.numel() for gradient in gradients])
    return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]


def integer_part(share: float, count: int) -> int:
    """Return the integer part of share x count, the share taken as the decimal it is written as.

    In binary 0.29 is a little less, and 0.29 x 100 would be 28.
    """
    return int(Decimal(str(share)) * count)


class Held:
    """The parameters of a model with, per entry, whether it may learn; the others are remembered as they are now."""

    def __init__(self, model: nn.Module, masks: list[Tensor]) -> None:
        self.parameters, self.masks = list(model.parameters()), masks
        self.start = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def put_back(self) -> None:
        """Set the entries that may not learn to what they were."""
        for parameter, mask, start in zip(self.parameters, self.masks, self.start, strict=True):
            parameter.copy_(torch.where(mask, parameter, start))
