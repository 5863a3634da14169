"""Metrics of random features, of any size; imports little, as `load` measures the memory of a process."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlearning.metrics.beside.cka import debiased_cka, linear_cka
from unlearning.metrics.beside.knn import knn_predictions

KNOWN = 0.8  # share of the images among which k-NN seeks; the rest asks

Work = Callable[[], object]


@dataclass(frozen=True)
class Size:
    samples: int
    classes: int
    width: int

    def times(self, axis: str, factor: int) -> "Size":
        return replace(self, **{axis: factor * getattr(self, axis)})


def features(size: Size, seed: int = 0) -> Tensor:
    return torch.randn(size.samples, size.width, generator=torch.Generator().manual_seed(seed))


def labels(size: Size) -> Tensor:
    return torch.arange(size.samples) % size.classes


def cka(size: Size) -> Work:
    x, y = features(size), features(size, 1)
    return lambda: linear_cka(x, y)


def cka_debiased(size: Size) -> Work:
    x, y = features(size), features(size, 1)
    return lambda: debiased_cka(x, y)


def knn(size: Size) -> Work:
    x, known = features(size), round(KNOWN * size.samples)
    return lambda: knn_predictions(x[:known], labels(size)[:known], x[known:], 5)
