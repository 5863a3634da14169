"""A split of noise in the shape of the real one, in a folder of its own: what can be tried before there are images."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from unlearning.counts import Counts
from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest, Split, save_manifest

MEAN, STD = 0.5, 0.25  # of noise in 0..1, about


@contextmanager
def noise(counts: Counts, classes: int, channels: int, size: int, forgotten: int) -> Iterator[Manifest]:
    """Go to a folder that holds so many images of noise, and give their manifest; then come back.

    counts: images to forget, to retain, and to judge on, all as the test split. size: px. forgotten: how many of the
    classes, the first, are to be forgotten.
    """
    random, before = np.random.default_rng(0), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            labels = {
                "train": np.concatenate(
                    [
                        np.arange(counts.forget) % max(forgotten, 1),
                        forgotten + np.arange(counts.retain) % max(classes - forgotten, 1),
                    ]
                ),
                "validation": np.empty(0, dtype=np.int64),
                "test": np.arange(counts.judging) % classes,
            }
            for name, own in labels.items():
                pixels = random.integers(0, 256, (len(own), channels, size, size), dtype=np.uint8)
                save_pixels(name, torch.from_numpy(pixels))
            splits = {
                name: Split([f"{name}{number}" for number in range(len(own))], own) for name, own in labels.items()
            }
            names = [f"class{label}" for label in range(classes)]
            manifest = Manifest(
                "noise", names, size, channels, [MEAN] * channels, [STD] * channels, None, "noise", splits,
                forget_classes=list(range(forgotten)),
            )  # fmt: skip
            save_manifest(manifest)
            yield manifest
        finally:
            os.chdir(before)
