"""Relearning: fine-tune a copy of the model on a few images of each forgotten class, and see how fast they come back.

Direction: lower is deeper, but the retrained model learns them from the same few images too: what counts is the curve
above its. Range: 0..100 percent, accuracy on the test forget set. Data: k training images of each forgotten class and
as many retained ones in all, so that answering "forgotten class" to everything does not pay. Source: relearning
attacks as in Tarun et al. 2021 and Golatkar et al. 2020 (relearn time); k-shot form ours. Expected: original near its
own accuracy at any k, retrained near 0 for few images and rising with k.
"""

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.data.batches import ImageSplit, shuffled
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.engine.validation import accuracy
from unlearning.models.backbone import freeze_batchnorm
from unlearning.params import Relearn
from unlearning.seeds import derive_seed


def relearning_curve(
    model: nn.Module, manifest: Manifest, test: ImageSplit, cfg: Relearn, launch: Launch, workers: int
) -> dict[int, float]:
    """Return {k: test forget accuracy in percent after fine-tuning on k images a class} for the `shots` of cfg.

    The model itself is not changed. A class with fewer than k images gives all it has.
    """
    asked = manifest.select("test", "forget")
    curve = {}
    for shots in cfg.shots:
        student = copy.deepcopy(model)
        fine_tune(student, manifest, few_shots(manifest, shots, cfg.seed), cfg, launch, workers)
        with launch.autocast():
            curve[shots] = accuracy(student, test, asked)
    return curve


def few_shots(manifest: Manifest, shots: int, seed: int) -> np.ndarray:
    """Return sorted training positions: `shots` images of each forget class and as many retain images in all.

    The images for a smaller number are among those for a larger one.
    """
    labels = manifest.splits["train"].labels
    order = np.random.default_rng(derive_seed(seed, "few shots")).permutation(len(labels))
    forget = [order[labels[order] == label][:shots] for label in manifest.forget_classes]
    retain = order[~np.isin(labels[order], manifest.forget_classes)]
    return np.sort(np.concatenate([*forget, retain[: sum(len(part) for part in forget)]]))


def fine_tune(
    model: nn.Module, manifest: Manifest, positions: np.ndarray, cfg: Relearn, launch: Launch, workers: int
) -> None:
    """Train the model, in place, on some training images by the recipe; nothing of it is resumable or validated."""
    with tempfile.TemporaryDirectory() as scratch:
        resume = ResumeState(Path(scratch))
        run = Run(
            "relearn",
            launch,
            manifest.without_validation(),
            model,
            cfg.seed,
            resume,
            workers=workers,
            show_progress=False,
        )
        run.drive(_program(run, positions, cfg))


def _program(run: Run, positions: np.ndarray, cfg: Relearn) -> Iterator[Tensor]:
    network = run.optimise(run.model, cfg)
    freeze_batchnorm(run.model)  # a handful of images has no statistics worth learning
    steps = len(shuffled(positions, cfg.batch_size, 0))
    for epoch in run.epochs([steps] * cfg.epochs):
        plans = shuffled(positions, cfg.batch_size, cfg.seed, "relearn", epoch)
        for batch in run.train_split.batches(plans, cfg.augment):
            yield F.cross_entropy(network(batch.images), batch.labels)
