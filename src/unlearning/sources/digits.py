"""scikit-learn's 1,797 handwritten digits of 8x8 pixels: embedded, so the default needs no download."""

import torch
from sklearn.datasets import load_digits

from unlearning.params import Data
from unlearning.sources import Samples, Source


def load(data: Data) -> Source:  # noqa: ARG001 - every source has this signature
    digits = load_digits()
    grey = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)  # 0..16 in the source
    ids = [f"{number:04d}" for number in range(len(grey))]
    samples = Samples(ids, digits.target.astype("int64"), pixels=grey[:, None])
    return Source([str(name) for name in digits.target_names], samples, test=None)
