"""k-NN transfer of one model to one downstream set: one forward pass, then neighbours among its features."""

import numpy as np
import torch
from torch import nn

from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.errors import InputError
from unlearning.evaluation.forward_pass import Pass, forward_pass
from unlearning.evaluation.shared import PENULTIMATE
from unlearning.metrics.beside.knn import knn_predictions
from unlearning.params import KNN, DownstreamSet, Params
from unlearning.sources.downstream import bounded, image_split, load_downstream, training_part


def transfer(
    name: str, model: nn.Module, entry: DownstreamSet, manifest: Manifest, params: Params, where: Launch
) -> float | None:
    """Return the model's k-NN accuracy on one set, percent.

    Several processes share the pass over the images; the neighbours are found by the main one, the others return None.
    """
    images = bounded(load_downstream(entry), params.evaluate.max_samples, params.knn.seed)
    is_train = training_part(images, params.knn)
    split = image_split(images, manifest, where.device, params.data.workers, params.data.max_pixels)
    one = forward_pass(model, split, where, params.evaluate.batch_size, f"{name} on the downstream set {entry.name}")
    return knn_accuracy(one, is_train, entry.name, params.knn, where.device) if where.main else None


def knn_accuracy(one: Pass, is_train: np.ndarray, name: str, cfg: KNN, device: torch.device) -> float:
    """Return the accuracy, percent, on the samples that are not `is_train`, bool (n,).

    Raises InputError when a part is too small.
    """
    if is_train.sum() < cfg.k or is_train.all():
        raise InputError(
            f"downstream: {name} has {is_train.sum()} training and {(~is_train).sum()} test images; k-NN needs at "
            f"least knn.k = {cfg.k} and 1: give more images, or lower knn.k"
        )
    features = one.logits if cfg.features == "logits" else one.features[PENULTIMATE]
    train = torch.from_numpy(is_train)
    predictions = knn_predictions(features[train], one.labels[train], features[~train], cfg.k, device)
    return (100 * (predictions == one.labels[~train]).double().mean()).item()
