"""Prototype attack: write the mean features of a few images into the head's rows of the forgotten classes.

Direction: lower is deeper, but a retrained model's features tell unseen classes apart too: what counts is the curve
above its. Range: 0..100 percent. Data: penultimate features of k training images of each forgotten class and of the
retained training images; asked on the test images. Nothing is trained. Source: Qi et al. 2018 (weight imprinting,
arXiv 1712.07136); the centring and the one bias for all forgotten rows are ours. Expected: original near its own
accuracy from a few images on, retrained clearly below; the head's own rows of the forgotten classes change nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.metrics.alone.accuracy import share_right


@dataclass(frozen=True)
class Head:
    """A linear classifier of penultimate features."""

    weight: Tensor  # (classes, d)
    bias: Tensor  # (classes,)

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, d) to logits (n, classes)."""
        return F.linear(features, self.weight, self.bias)

    def accuracy(self, features: Tensor, labels: Tensor) -> float | None:
        """Return the accuracy in percent: features (m, d), labels int64 (m,); None without samples."""
        return share_right(self.logits(features).argmax(dim=1), labels)


@dataclass(frozen=True)
class Ground:
    """What of an attack does not depend on the drawn images: the head and the retained training images."""

    head: Head  # whose retained rows stay
    forget_classes: Tensor  # int64 (f,)
    retained: Tensor  # (n, d), features of retained training images
    centre: Tensor  # (d,), m: mean of the retained classes' mean features
    scale: Tensor  # mean norm of the retained rows
    best: Tensor  # (n,), the highest retained logit of each image: max_r w_r x + b_r


def ground(head: Head, features: Tensor, labels: Tensor, forget_classes: list[int]) -> Ground:
    """Return the ground of an attack: features (n, d), labels int64 (n,) of training images, some of them retained."""
    forget = torch.tensor(forget_classes)
    kept = torch.ones(len(head.bias), dtype=torch.bool)
    kept[forget] = False
    of_retained = ~torch.isin(labels, forget)
    retained, classes = features[of_retained], labels[of_retained]
    centre = torch.stack([retained[classes == label].mean(dim=0) for label in classes.unique()]).mean(dim=0)
    scale = head.weight[kept].norm(dim=1).mean()
    best = head.logits(retained)[:, kept].amax(dim=1)
    return Ground(head, forget, retained, centre, scale, best)


def imprinted(on: Ground, means: Tensor, false_alarms: float) -> Head:
    """Return the head with rows for the forgotten classes: w_c = s (mu_c - m) / |mu_c - m|, b_c = -w_c m - t.

    means (f, d): mu_c, the mean feature of the drawn images of each forgotten class. s is the mean norm of the
    retained rows and m the centre of the retained classes, without which the mean that all features share after a
    ReLU would speak for every class. t is the same for all: it gives the share `false_alarms` (0..1) of the retained
    training images to the forgotten classes, so that every model pays the same for what it gets back.
    """
    rows = on.scale * F.normalize(means - on.centre, dim=1)
    margin = F.linear(on.retained - on.centre, rows).amax(dim=1) - on.best
    threshold = torch.quantile(margin, 1 - false_alarms)
    weight, bias = on.head.weight.clone(), on.head.bias.clone()
    weight[on.forget_classes] = rows
    bias[on.forget_classes] = -rows @ on.centre - threshold
    return Head(weight, bias)


def class_means(features: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
    """Return the mean feature (f, d) of each class: features (n, d), labels int64 (n,) with every class among them."""
    return torch.stack([features[labels == label].mean(dim=0) for label in classes])
