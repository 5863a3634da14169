"""Forget features move to the nearest retained centroid: what `duck` and `duck_ec` run.

Cotogni et al., "DUCK: Distance-based Unlearning via Centroid Kinematics" (arXiv 2312.02052). Per supervision point the
centroids are the mean features of the retained classes on the original model, over the whole retain set (official: the
first 50 batches), and each forget sample has its target: the centroid nearest to it by cosine. The official code keeps
one list of targets per batch number, which assumes batches that never change, and compares a position with a label
where it looks for the sample's own class; a target per sample means the same without both. UUEF's code, the EC paper's
DUCK, keeps the targets of the first forget batch of an epoch for the second too and gives no forget loss to any later
batch: a fault, not copied. What else differs there is a matter of values (docs/methods.md): SGD, two retain batches per
forget batch, both weights 1.5, no second phase.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.bounds import BatchSize, Companions, EpochsOrNone, Fraction, LearningRate, Temperature, Weight
from unlearning.counts import Counts
from unlearning.data.batches import Batch
from unlearning.engine.run import Run
from unlearning.losses.deep_supervision import cross_entropies, weighted_sum
from unlearning.methods.families.points import Points, scan_points
from unlearning.models.supervision import SupervisedNetwork, Supervision, forward_pair
from unlearning.params import UnlearnRecipe

SECOND_LAMBDA = 0.1  # of lambda_forget, in the second phase (official)


class CentroidConfig(UnlearnRecipe):
    retain_per_forget: Companions  # retain batches per forget batch, one optimiser step each
    lambda_forget: Weight
    lambda_retain: Weight
    temperature: Temperature  # of the cross-entropy
    label_smoothing: Fraction
    second_epochs: EpochsOrNone  # passes over the retain set; 0 = no second phase
    second_batch_size: BatchSize
    second_lr: LearningRate  # share of lr

    def steps(self, images: Counts) -> int:
        first = self.epochs * images.steps("forget", self.batch_size) * self.retain_per_forget
        return first + self.second_epochs * images.steps("retain", self.second_batch_size)

    def scanned(self, images: Counts) -> int:
        return images.training


@dataclass(frozen=True)
class Centroids:
    """The retained classes at one supervision point."""

    means: Tensor  # (C_r, d)
    targets: Tensor  # int64 (N,), row of `means` for each forget sample by its position in the training split


def to_centroids(run: Run, cfg: CentroidConfig, points: Points) -> Iterator[Tensor]:
    """Yield sum_l w_l (lambda_forget D^l + lambda_retain CE(g^l / T, y)), D the mean cosine distance to the targets."""
    centroids = retained_centroids(run, points.network)
    network = run.optimise(points.network, cfg)
    for forget, retain in run.pairs(cfg, cfg.retain_per_forget):
        z_f, z_r = forward_pair(network, forget.images, retain.images, joint=False)
        distance, ce = both_losses(cfg, points, centroids, z_f, z_r, forget, retain)
        yield cfg.lambda_forget * distance + cfg.lambda_retain * ce
    if cfg.second_epochs:
        yield from second_phase(run, cfg, points, centroids)


def second_phase(run: Run, cfg: CentroidConfig, points: Points, centroids: list[Centroids]) -> Iterator[Tensor]:
    """Yield the same with a tenth of lambda_forget, for passes over the retain set beside one forget batch each."""
    changes = {"epochs": cfg.second_epochs, "batch_size": cfg.second_batch_size, "lr": cfg.second_lr * cfg.lr}
    recipe = cfg.model_copy(update={**changes, "schedule": "cosine", "stop_at_forget_acc": None})
    network = run.optimise(points.network, recipe)
    for epoch in run.epochs([run.schedule.steps("retain", recipe.batch_size)] * recipe.epochs):
        forget = next(run.schedule.visit("forget", cfg.batch_size, recipe.augment, epoch))
        for retain in run.visit("retain", recipe.batch_size, recipe.augment, epoch):
            run.count(forget, "forget")
            z_f, z_r = forward_pair(network, forget.images, retain.images, joint=True)
            distance, ce = both_losses(cfg, points, centroids, z_f, z_r, forget, retain)
            yield SECOND_LAMBDA * cfg.lambda_forget * distance + ce


def both_losses(
    cfg: CentroidConfig,
    points: Points,
    centroids: list[Centroids],
    z_f: list[Supervision],
    z_r: list[Supervision],
    forget: Batch,
    retain: Batch,
) -> tuple[Tensor, Tensor]:
    """Return sum_l w_l D^l of the forget images and sum_l w_l CE(g^l / T, y) of the retain images."""
    distance = distances(z_f, forget.positions, centroids)
    ce = cross_entropies(z_r, retain.labels, cfg.temperature, cfg.label_smoothing)
    return weighted_sum(distance, points.weights), weighted_sum(ce, points.weights)


def distances(forget: list[Supervision], positions: Tensor, centroids: list[Centroids]) -> list[Tensor]:
    """Return the mean cosine distance, in 0..2, of the forget features to their targets, at each point."""
    return [
        cosine_distance(z.feature, point.means[point.targets[positions.to(point.targets.device)]])
        for z, point in zip(forget, centroids, strict=True)
    ]


def retained_centroids(run: Run, network: SupervisedNetwork) -> list[Centroids]:
    """Measure, on the network as it is, the retained centroids at each point and the nearest of each forget sample."""
    means = [class_means(sums) for sums in retained_sums(run, network)]
    count = len(run.manifest.splits["train"].labels)
    targets = [torch.zeros(count, dtype=torch.int64, device=point.device) for point in means]
    for batch, points in scan_points(run, network, "forget"):
        for target, point, mean in zip(targets, points, means, strict=True):
            target[batch.positions.to(mean.device)] = nearest(point.feature, mean)
    return [Centroids(mean, target) for mean, target in zip(means, targets, strict=True)]


def retained_sums(run: Run, network: SupervisedNetwork) -> list[Tensor]:
    """Return for each point (C, d + 1): per class the sum of its retained features, and their number."""
    sums: list[Tensor] = []
    for batch, points in scan_points(run, network, "retain"):
        rows = [_with_ones(point) for point in points]
        sums = sums or [row.new_zeros(len(run.manifest.classes), row.shape[1]) for row in rows]
        for total, row in zip(sums, rows, strict=True):
            total.index_add_(0, batch.labels, row)
    return sums


def class_means(sums: Tensor) -> Tensor:
    """Return the mean features (C_r, d) of the classes that have samples, from (C, d + 1) of `retained_sums`."""
    present = sums[sums[:, -1] > 0]
    return present[:, :-1] / present[:, -1:]


def nearest(features: Tensor, means: Tensor) -> Tensor:
    """Return the row of `means` (C, d) nearest by cosine to each feature (B, d), int64 (B,)."""
    return (F.normalize(features, dim=1) @ F.normalize(means, dim=1).T).argmax(dim=1)


def cosine_distance(features: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of 1 - cos over the rows of (B, d) and (B, d), in 0..2."""
    return (1 - F.cosine_similarity(features, targets, dim=1)).mean()


def _with_ones(point: Supervision) -> Tensor:
    return F.pad(point.feature, (0, 1), value=1.0)
