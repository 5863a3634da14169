"""How time and memory grow with samples, classes and width: each at once, four and sixteen times its size."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import world
from benchmarks.of_features import Size, Work, cka, cka_debiased, features, knn, labels
from benchmarks.side_by_side import peak_memory, seconds
from unlearning.data.manifest import Manifest, Split, load_manifest, save_manifest
from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.losses.supcon import supcon
from unlearning.metrics.alone.calibration import expected_calibration_error
from unlearning.metrics.alone.collapse import effective_rank
from unlearning.metrics.alone.cross_fitted import critic_views, cross_fitted_information, deal_folds
from unlearning.metrics.alone.linear_probe import fit_probe
from unlearning.metrics.alone.membership import membership_inference
from unlearning.metrics.beside.closeness import js_divergence
from unlearning.metrics.beside.head_recovery import recovered_head
from unlearning.params_file import load_params

FACTORS = (1, 4, 16)
ROUNDS = 3
PROBE_STEPS = 10
TAU = 0.1


@dataclass(frozen=True)
class Growth:
    """A row of the table: exponents between once and sixteen times an axis, and what there is at once."""

    name: str
    axis: str
    seconds: float  # at the smallest size
    time: float  # exponent: 1 = as the axis, 2 = as its square
    memory: float | None  # exponent of the tensors made; None where there are next to none


def logits(size: Size, seed: int = 0) -> Tensor:
    return torch.randn(size.samples, size.classes, generator=torch.Generator().manual_seed(seed))


def probe(size: Size) -> Work:
    x, y = features(size), labels(size)
    return lambda: fit_probe(x, y, size.classes, 0.0001, PROBE_STEPS)


def head(size: Size) -> Work:
    x, y = features(size), logits(size)
    return lambda: recovered_head(x, y)


def idi(size: Size) -> Work:
    x, y, cfg = features(size), torch.arange(size.samples) % 2, load_params().mutual_information

    def one_trial() -> object:
        views = critic_views(x, cfg.cross_fitted, 0)
        return cross_fitted_information(views, y, deal_folds(y, cfg.cross_fitted.folds, 0, 0))

    return one_trial


def membership(size: Size) -> Work:
    members, others, y = logits(size), logits(size, 1), labels(size)
    return lambda: membership_inference((members, y), (others, y), 0)


def rank(size: Size) -> Work:
    x = features(size)
    return lambda: effective_rank(x)


def closeness(size: Size) -> Work:
    x, y = logits(size), logits(size, 1)
    return lambda: js_divergence(x, y)


def calibration(size: Size) -> Work:
    x, y = logits(size), labels(size)
    return lambda: expected_calibration_error(x, y)


def contrast(size: Size) -> Work:
    x, y = (F.normalize(features(size, seed), dim=1).requires_grad_() for seed in (0, 1))
    return lambda: torch.autograd.grad(contrastive_unlearning(x, y, TAU), (x, y))


def supervised(size: Size) -> Work:
    z, y = F.normalize(features(size), dim=1).requires_grad_(), labels(size)
    return lambda: torch.autograd.grad(supcon(z, y, TAU), z)


def manifest(size: Size) -> Work:
    """Write the list of all samples and read it."""
    split = Split([f"class/{number}.jpg" for number in range(size.samples)], labels(size).numpy())
    empty = Split([], np.empty(0, dtype=np.int64))
    whole = Manifest(
        "noise", [str(label) for label in range(size.classes)], 32, 3, [0.5] * 3, [0.5] * 3, "images", "noise",
        {"train": split, "validation": empty, "test": empty}, [0],
    )  # fmt: skip

    def there_and_back() -> None:
        save_manifest(whole)
        load_manifest()

    return there_and_back


def step(size: Size) -> Work:
    """Train on so many images at once; the width is that of each stage's channels."""
    shape = replace(
        world.SMALL, kwargs={"layers": [1] * 4, "channels": [size.width] * 4}, small_stem=1, classes=size.classes
    )
    model = world.network(shape)
    images, targets = torch.randn(size.samples, 3, 16, 16), labels(size)

    def one() -> None:
        model.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), targets).backward()

    return one


MANY, FEW = Size(2_000, 10, 64), Size(256, 10, 256)
MEASURES: dict[str, tuple[Callable[[Size], Work], Size, tuple[str, ...]]] = {
    "manifest, written and read": (manifest, Size(20_000, 10, 0), ("samples",)),
    "training step": (step, Size(32, 10, 32), ("samples", "classes", "width")),
    "CU/EC loss": (contrast, FEW, ("samples", "width")),
    "SupCon": (supervised, FEW, ("samples", "width")),
    "CKA": (cka, MANY, ("samples", "width")),
    "CKA, debiased": (cka_debiased, MANY, ("samples", "width")),
    "k-NN, a fifth asks": (knn, MANY, ("samples", "width")),
    "linear probe": (probe, MANY, ("samples", "classes", "width")),
    "head recovery": (head, MANY, ("samples", "classes", "width")),
    "IDI's critics, one trial": (idi, Size(1_000, 2, 64), ("samples", "width")),
    "membership inference": (membership, MANY, ("samples", "classes")),
    "effective rank": (rank, MANY, ("samples", "width")),
    "JS divergence": (closeness, MANY, ("samples", "classes")),
    "calibration": (calibration, MANY, ("samples", "classes")),
}


def measure() -> Iterator[Growth]:
    with world.workspace(0):
        for name, (work_of, base, axes) in MEASURES.items():
            for axis in axes:
                yield grown(name, axis, [work_of(base.times(axis, factor)) for factor in FACTORS])


def grown(name: str, axis: str, works: list[Work]) -> Growth:
    """Return the exponents of one measure along one axis; the sizes take turns."""
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    small, _, large = (median(times) for times in zip(*rounds, strict=True))
    memory = [peak_memory(work) for work in (works[0], works[-1])]
    return Growth(name, axis, small, exponent(small, large), exponent(*memory) if memory[0] > 10_000 else None)


def exponent(small: float, large: float) -> float:
    return math.log(large / small) / math.log(FACTORS[-1])
