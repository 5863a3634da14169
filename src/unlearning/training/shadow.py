"""Shadow models for LiRA: the classifier's own recipe on a random half of the training images."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.metrics.alone.lira import scaled_logit
from unlearning.seeds import derive_seed

OUT = -1  # label of the images a shadow model is trained without


def half_of(manifest: Manifest, number: int, seed: int) -> Manifest:
    """Return the manifest for shadow model `number`: to its training, the other half are a class to be forgotten.

    Models 2j and 2j + 1 have complementary halves, so each image is unknown to exactly half of the shadow models.
    """
    labels = manifest.splits["train"].labels
    order = np.random.default_rng(derive_seed(seed, "shadow", number // 2)).permutation(len(labels))
    middle = len(order) // 2
    left_out = order[:middle] if number % 2 else order[middle:]
    marked = labels.copy()
    marked[left_out] = OUT
    train = replace(manifest.splits["train"], labels=marked)
    halved = replace(manifest, splits=manifest.splits | {"train": train}, forget_classes=[OUT])
    return halved.without_validation()


@torch.no_grad()
def scaled_logits(model: nn.Module, images: ImageSplit, batch_size: int, launch: Launch) -> Tensor:
    """Return log(p_y / (1 - p_y)) of every image of a split under the model, float64 (n,)."""
    model.eval()
    values = []
    for batch in images.batches(in_order(np.arange(len(images.labels)), batch_size)):
        with launch.autocast():
            logits = model(batch.images)
        values.append(scaled_logit(logits.cpu(), batch.labels.cpu()))
    return torch.cat(values)
