"""Linear probe: a fresh linear head on the frozen features, fitted with the labels of forget and retain images.

Direction: lower is deeper, but not below the retrained model, whose features tell unseen classes apart too: the gap to
it counts. Range: 0..100 percent. Data: features of the training images (all, or a small share of each class), asked on
the test forget set. Source: Jeon et al. (arXiv 2405.17878; 2 % of the data), ESC's knowledge retention; here
multinomial logistic regression by L-BFGS instead of a few epochs of SGD. Expected: original about its test forget
accuracy, retrained clearly below.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.metrics.alone.accuracy import share_right
from unlearning.metrics.alone.blocks import blocks
from unlearning.seeds import derive_seed

ROWS = 8192  # samples whose answers are held at once; so many or fewer are fitted to the same bits as all at once
ROUNDING = 8  # units in the last place: a feature that varies by less does not vary


@dataclass(frozen=True)
class Probe:
    """A linear classifier of standardised features."""

    mean: Tensor  # (d,)
    scale: Tensor  # (d,), 0 for features that do not vary
    weight: Tensor  # (classes, d)
    bias: Tensor  # (classes,)

    def logits(self, features: Tensor) -> Tensor:
        """Return the classifier's answers (m, classes): features (m, d)."""
        inputs = (features.to(self.mean) - self.mean) * self.scale
        return F.linear(inputs, self.weight, self.bias)

    def accuracy(self, features: Tensor, labels: Tensor) -> float | None:
        """Return the accuracy in percent: features (m, d), labels int64 (m,); None without samples."""
        return share_right(self.logits(features).argmax(dim=1).cpu(), labels.cpu())


def fit_probe(
    features: Tensor, labels: Tensor, classes: int, l2: float, steps: int, device: torch.device | str = "cpu"
) -> Probe:
    """Return the minimiser of mean cross-entropy + l2/2 ||W||^2 over standardised features, from W = 0 by L-BFGS.

    features float32 or float64 (n, d), which is what is computed in; labels int64 (n,); at most `steps` iterations.
    The same numbers give the same probe.
    """
    inputs, targets = features.to(device, copy=True), labels.to(device)
    mean, std = inputs.mean(dim=0), inputs.std(dim=0, unbiased=False)
    low, high = inputs.aminmax(dim=0)
    varies = std > ROUNDING * torch.finfo(inputs.dtype).eps * torch.maximum(low.abs(), high.abs())
    scale = torch.where(varies, 1 / std.clamp(min=torch.finfo(std.dtype).tiny), torch.zeros_like(std))
    inputs.sub_(mean).mul_(scale)
    weight = nn.Parameter(inputs.new_zeros(classes, inputs.shape[1]))
    bias = nn.Parameter(inputs.new_zeros(classes))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe")

    def loss_on(rows: slice) -> Tensor:
        share = (rows.stop - rows.start) / len(targets)
        entropy = F.cross_entropy(F.linear(inputs[rows], weight, bias), targets[rows])
        return share * (entropy + l2 / 2 * weight.square().sum())

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for rows in blocks(len(targets), ROWS):
            loss = loss_on(rows)
            loss.backward()
            total += loss.item()
        return total

    optimizer.step(closure)
    return Probe(mean, scale, weight.detach(), bias.detach())


def share_of_each_class(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Return sorted positions, int64, of a share (0, 1] of each class's samples, at least one of each."""
    random = np.random.default_rng(derive_seed(seed, "probe"))
    order = random.permutation(len(labels))
    ordered = labels.numpy()[order]
    chosen = []
    for label in np.unique(ordered):
        of_class = order[ordered == label]
        chosen.append(of_class[: max(1, round(fraction * len(of_class)))])
    return torch.from_numpy(np.sort(np.concatenate(chosen)))
