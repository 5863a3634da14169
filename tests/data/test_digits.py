from collections.abc import Callable

import numpy as np
import pytest
import torch

from unlearning.params import Data
from unlearning.sources import Source, digits


@pytest.fixture
def source(make_data: Callable[..., Data]) -> Source:
    return digits.load(make_data())


def test_there_are_1797_grey_digits_of_eight_by_eight_pixels(source: Source) -> None:
    assert source.train.pixels.shape == (1797, 1, 8, 8)
    assert source.train.pixels.dtype == torch.uint8
    assert source.train.root is None
    assert source.test is None


def test_there_are_ten_classes_of_similar_size(source: Source) -> None:
    assert source.classes == list("0123456789")
    assert source.train.labels.dtype == np.int64
    assert np.bincount(source.train.labels, minlength=10).min() > 170


def test_ids_are_unique(source: Source) -> None:
    assert len(set(source.train.ids)) == len(source.train.ids) == 1797


def test_pixels_use_the_whole_range(source: Source) -> None:
    assert source.train.pixels.min() == 0
    assert source.train.pixels.max() == 255


def test_pixels_belong_to_their_labels(source: Source) -> None:
    images, labels = source.train.pixels.flatten(1).double(), torch.from_numpy(source.train.labels)
    means = torch.stack([images[labels == label].mean(dim=0) for label in range(10)])
    nearest = torch.cdist(images, means).argmin(dim=1)
    assert (nearest == labels).double().mean() > 0.85
