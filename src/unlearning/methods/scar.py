"""SCAR: forget features move, by Mahalanobis distance, to the nearest retained class; outputs are kept by distillation.

Bonato et al., "Is Retain Set All You Need in Machine Unlearning?", ECCV 2024, official code (class SCAR). Features are
h^0.5 (Tukey); per retained class their mean and covariance on the original model, the covariance shrunk (official:
twice; `variant: ec_paper`, UUEF's code: once, and always with retain images for distillation), scaled to a correlation
matrix, inverted. Distillation is KL(original || current) on surrogate images of something else, on retain images when
there are none. Deviations: targets are per sample, not per batch number; images and logits of *all* forget classes are
left out, not of the first only; the shrunk covariance stays positive semi-definite where features are always 0 (see
`shrunk`); the constants of 0.0001 are not added. UUEF's fault of measuring the distance on retain
images is not copied, nor its cap of four forget batches. Forget and other images go through the network apart;
BatchNorm trains; the teacher is in eval mode.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.bounds import Companions, FilePath, Temperature, Weight
from unlearning.counts import Counts
from unlearning.data.batches import ImageSplit
from unlearning.data.surrogate import SURROGATE, surrogate_manifest
from unlearning.engine.run import Run
from unlearning.engine.schedule import BatchSchedule
from unlearning.errors import InputError
from unlearning.methods.families.points import final_point, scan_points
from unlearning.models.backbone import classifier_of
from unlearning.models.supervision import SupervisedNetwork
from unlearning.models.tail_end import last_computed
from unlearning.params import UnlearnRecipe
from unlearning.symmetric import pinv

SHRINKAGES = {"official": 2, "ec_paper": 1}
SMALLEST = 1e-6  # feature: the slope of the square root is infinite at 0
LINEAR = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.Conv2d, nn.Linear)
BELOW_ZERO = {  # activations that can be, by name: timm has some of its own
    "GELU", "GELUTanh", "QuickGELU", "SiLU", "Swish", "Mish", "Hardswish", "HardSwish", "ELU", "SELU", "LeakyReLU",
    "PReLU", "Tanh",
}  # fmt: skip
NO_ROOT = (
    "the penultimate features of {network} can be negative, and SCAR takes their square root; choose a backbone that "
    "ends in a ReLU (a ResNet), or drop scar from methods"
)
MOST_GB = 8.0  # of the covariances of all classes, float32 (ours): 900 of 2048 x 2048 would be 15


class Config(UnlearnRecipe):
    variant: Literal["official", "ec_paper"]
    surrogate: FilePath | None  # folder of images
    keep_per_forget: Companions  # distillation batches per forget batch, one optimiser step each
    lambda_forget: Weight  # lambda_1
    lambda_keep: Weight  # lambda_2
    temperature: Temperature  # of the original's outputs alone
    gamma_1: Weight  # shrinkage of the diagonal
    gamma_2: Weight  # shrinkage off the diagonal, at most gamma_1
    covariance: Literal["per_class", "shared"]  # shared: one matrix for many classes of many dimensions

    @field_validator("gamma_2")
    @classmethod
    def _stays_semi_definite(cls, gamma_2: float, block: ValidationInfo) -> float:
        if gamma_2 > block.data.get("gamma_1", gamma_2):
            raise ValueError("this is more than gamma_1; a distance could then be below 0")
        return gamma_2

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("forget", self.batch_size) * self.keep_per_forget

    def scanned(self, images: Counts) -> int:
        return images.training


def refusals(model: nn.Module, cfg: Config) -> list[str]:
    """Return what is wrong with features below 0, and with a covariance for each of many classes of many dimensions."""
    lines, last = [], last_computed(model)
    if isinstance(last, LINEAR) or type(last).__name__ in BELOW_ZERO:
        lines.append(f"scar: {NO_ROOT.format(network=type(model).__name__)} ({type(last).__name__} comes last)")
    classes, width = classifier_of(model).get_parameter("weight").shape[:2]
    size = classes * width**2 * 4 / 1e9
    if cfg.covariance == "per_class" and size > MOST_GB:
        told = f"{classes} covariances of {width} x {width} are {size:.0f} GB, more than {MOST_GB:.0f}"
        lines.append(f"scar.covariance: {told}; set it to shared, one matrix for all classes")
    return lines


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield lambda_forget mean m(x_f, target) + lambda_keep KL(original || current).

    Raises InputError for what `refusals` has, and what `retained_classes` raises.
    """
    refused = refusals(run.model, cfg)
    if refused:
        raise InputError(refused[0])
    surrogate = surrogate_schedule(run, cfg)
    teacher, points = run.teacher(), final_point(run)
    classes = retained_classes(run, cfg, points.network)
    targets = forget_targets(run, points.network, classes)
    absent = torch.tensor(run.manifest.absent_classes, device=run.launch.device)
    network = run.optimise(points.network, cfg)
    for forget, keep in run.pairs(cfg, cfg.keep_per_forget, surrogate):
        [z_f], [z_k] = network(forget.images), network(keep.images)
        distance = classes.distance(z_f.feature, targets[forget.positions.to(targets.device)]).mean()
        kl = keep_loss(run, z_k.head_logits(), teacher(keep.images), absent, cfg.temperature)
        yield cfg.lambda_forget * distance + cfg.lambda_keep * kl


def surrogate_schedule(run: Run, cfg: Config) -> BatchSchedule | None:
    """Return batches of the surrogate images, or None for retain images."""
    if cfg.surrogate is None or cfg.variant == "ec_paper":
        return None
    manifest, launch = surrogate_manifest(Path(cfg.surrogate), f"{run.name}.surrogate", run.manifest), run.launch
    images = ImageSplit(manifest, SURROGATE, launch.device, run.workers, launch.rank, launch.world)
    return BatchSchedule(manifest, images, run.seed, run.name, SURROGATE)


@dataclass(frozen=True)
class Classes:
    """The retained classes: means of the transformed features, and the inverse of their covariances."""

    means: Tensor  # (C_r, d), L2-normalised
    precisions: Tensor  # (C_r, d, d), or (1, d, d) where it is shared

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return m = d^T S^-1 d, d = norm(h^0.5) - norm(mu), of features (B, d) to their target classes (B,)."""
        difference = F.normalize(tukey(features), dim=1) - self.means[targets]
        if len(self.precisions) == 1:
            return quadratic_form(difference, self.precisions[0])
        distances = difference.new_zeros(len(targets))
        for target in targets.unique():  # class by class: a matrix for each row would not fit
            rows = (targets == target).nonzero()[:, 0]
            distances = distances.index_add(0, rows, quadratic_form(difference[rows], self.precisions[target]))
        return distances


def retained_classes(run: Run, cfg: Config, network: SupervisedNetwork) -> Classes:
    """Measure the retained classes on the model as it is, one after the other: their features are never all in memory.

    Raises InputError for features that have no square root, and for a class of one image that needs a covariance.
    """
    shrink = partial(precision, gamma_1=cfg.gamma_1, gamma_2=cfg.gamma_2, times=SHRINKAGES[cfg.variant])
    labels = np.unique(run.manifest.splits["train"].labels[run.manifest.select("train", "retain")])
    means, precisions, whole, count = [], list[Tensor](), torch.zeros(()), 0
    for label in labels.tolist():
        features = transformed_features(run, network, label)
        own = scatter(features)
        means.append(features.mean(dim=0))
        if cfg.covariance == "shared":
            whole, count = whole.to(own) + own, count + len(features)
        elif len(features) < 2:
            raise InputError(
                f"{run.name}.covariance: a class of one image has no covariance of its own; set it to shared"
            )
        else:
            precisions.append(shrink(own / (len(features) - 1)))
    return Classes(F.normalize(torch.stack(means), dim=1), torch.stack(precisions or [shrink(whole / (count - 1))]))


def transformed_features(run: Run, network: SupervisedNetwork, label: int) -> Tensor:
    """Return h^0.5 (n, d) of the retained images of a class."""
    features = []
    for _, [point] in scan_points(run, network, "retain", label):
        if (point.feature < 0).any():
            raise InputError(f"{run.name}: {NO_ROOT.format(network=type(run.model).__name__)}")
        features.append(tukey(point.feature))
    return torch.cat(features)


def forget_targets(run: Run, network: SupervisedNetwork, classes: Classes) -> Tensor:
    """Return the nearest retained class of each forget sample on the model as it is, by position, int64 (N,)."""
    targets = torch.zeros(len(run.manifest.splits["train"].labels), dtype=torch.int64, device=classes.means.device)
    for batch, [point] in scan_points(run, network, "forget"):
        rows = [
            classes.distance(point.feature, torch.full_like(batch.labels, number))
            for number in range(len(classes.means))
        ]
        targets[batch.positions.to(targets.device)] = torch.stack(rows).argmin(dim=0)
    return targets


def quadratic_form(vectors: Tensor, matrix: Tensor) -> Tensor:
    """Return v^T M v for each row v of (B, d), (B,)."""
    return (vectors @ matrix * vectors).sum(dim=1)


def tukey(features: Tensor) -> Tensor:
    """Return h^0.5, for h >= 0; its slope at 0 is taken as 0."""
    return features.clamp(min=SMALLEST).sqrt()


def scatter(features: Tensor) -> Tensor:
    """Return sum (h - mean)(h - mean)^T over the rows of (n, d), float64 (d, d)."""
    centred = features.double() - features.double().mean(dim=0)
    return centred.T @ centred


def precision(covariance: Tensor, gamma_1: float, gamma_2: float, times: int) -> Tensor:
    """Return the pseudo-inverse, float32, of the shrunk correlation matrix of a covariance (d, d) of any rank."""
    for _ in range(times):
        covariance = shrunk(covariance, gamma_1, gamma_2)
    deviation = covariance.diagonal().clamp(min=torch.finfo(covariance.dtype).tiny).sqrt()
    return pinv(covariance / deviation.outer(deviation)).float()


def shrunk(covariance: Tensor, gamma_1: float, gamma_2: float) -> Tensor:
    """Return S + gamma_1 mean(diagonal) I + gamma_2 mean(off the diagonal) (1 - I), no eigenvalue below 0.

    That holds for gamma_1 >= gamma_2. The official mean off the diagonal is over its non-zero entries; with features
    that are always 0 it can exceed the diagonal's, and "distances" below 0 follow.
    """
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    off_diagonal = covariance * (1 - identity)
    mean_off = off_diagonal.sum() / max(off_diagonal.numel() - len(covariance), 1)
    return covariance + gamma_1 * covariance.diagonal().mean() * identity + gamma_2 * mean_off * (1 - identity)


def keep_loss(run: Run, student: Tensor, original: Tensor, absent: Tensor, temperature: float) -> Tensor:
    """Return the mean KL(original / T || student) over the images that the original gives to no absent class.

    student, original: logits (B, C). absent: int64 (c,), the classes to forget or erased before; in the target they get
    the smallest logit of these images, over the batches of all processes (official). 0 with a gradient of 0 where there
    is no such image.
    """
    kept = ~torch.isin(original.argmax(dim=1), absent)
    student, original = student[kept], original[kept]
    target = F.softmax(original.index_fill(1, absent, smallest_logit(run, original)) / temperature, dim=1)
    divergence = F.kl_div(F.log_softmax(student, dim=1), target, reduction="sum")
    processes = run.launch.world
    count = (run.launch.average(kept.sum().float()) * processes).clamp(min=1)
    return divergence * processes / count  # gradients are averaged over the processes


def smallest_logit(run: Run, logits: Tensor) -> Tensor:
    """Return the smallest logit of the rows (b, C) of all processes, scalar; a process may have no row."""
    none = logits.new_full((1,), torch.inf)
    return run.gather(torch.cat([logits.flatten(), none]).amin(dim=0, keepdim=True)).min()
