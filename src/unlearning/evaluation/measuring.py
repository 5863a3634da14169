"""All that one model tells by itself: every measure of this folder, one after the other, on one manifest."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import Manifest
from unlearning.data.samples import balanced_sample, kept_sample
from unlearning.engine.launch import Launch
from unlearning.engine.validation import validate
from unlearning.evaluation.attacks import prototype_curves, target
from unlearning.evaluation.batchnorm import after_recalibration
from unlearning.evaluation.forward_pass import forward_pass
from unlearning.evaluation.information import ESTIMATORS, informed_layers, measure_layers, measured_layers, too_few
from unlearning.evaluation.loss_barrier import predictors, retained_batches
from unlearning.evaluation.numbers import (
    accuracies,
    diagnostics,
    linear_probes,
    membership,
    probed_rows,
    shared_of,
    with_masks,
)
from unlearning.evaluation.relearning import relearning_curves
from unlearning.evaluation.retain_only import after_retain_only
from unlearning.evaluation.shared import PENULTIMATE, Shared
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.metrics.alone.mutual_information import label_entropy
from unlearning.params import Params

PARTS = 6  # of what is measured, one after the other


@dataclass(frozen=True)
class Subject:
    """A model to measure, and the one it comes from."""

    name: str
    seed: int
    model: nn.Module
    original: nn.Module

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


def measure(
    subject: Subject, manifest: Manifest, params: Params, where: Launch, watch: Stopwatch, informed: bool = True
) -> tuple[dict[str, Any], Shared] | None:
    """Return what metrics/raw holds of a model, and what `compare` needs of its features.

    Several processes share the passes over the images. What follows is of few images, and done by the main one alone:
    the others return None.

    manifest: says what is to be forgotten. informed: whether the information of its features is measured too, as the
    parameters say; it never is of samples, which leave their classes, and so the information, behind. Raises InputError
    naming a layer that is not there, and what the measures raise.
    """
    cfg, critics, model = params.evaluate, params.mutual_information, subject.model
    layers = measured_layers(model, params)
    measured = informed_layers(model, params) if informed and not manifest.forget_samples else []

    what = f"{subject}, on the"
    train, test = (ImageSplit(manifest, split, where.device, params.data.workers) for split in ("train", "test"))
    attackers = manifest.holding_back("test")  # what judges an attack, the attacker has not
    known = attackers.select("train")
    kept_train = known[kept_sample(len(known), cfg.max_samples, cfg.seed)]
    kept_test = kept_sample(len(test.labels), cfg.max_samples, cfg.seed)
    forget, retain = manifest.select("train", "forget"), manifest.select("train", "retain")
    sample = balanced_sample(forget, retain, critics.max_samples, critics.seed)
    with watch.part("forward passes"):
        on_train = forward_pass(
            model, train, where, cfg.batch_size, f"{what} training split", kept_train, layers, measured, sample,
            not ESTIMATORS[critics.estimator].on_maps, rows_of_layers(manifest, kept_train, params),
        )  # fmt: skip
        on_test = forward_pass(model, test, where, cfg.batch_size, f"{what} test split", kept_test, layers)
        validation = ImageSplit(manifest, "validation", where.device, params.data.workers)
        held_out = validate(model, validation, manifest, where)
    if not where.main:
        return None
    where = where.alone
    with watch.part("metrics"):
        passes = with_masks(on_train, on_test, manifest)
        raw = accuracies(passes, manifest) | diagnostics(passes) | {"validation": held_out}
        raw["linear_probe"] = linear_probes(passes, len(manifest.classes), params.linear_probe, cfg.seed, where.device)
        raw["membership"] = membership(passes, cfg.seed)
    with watch.part("attacks"):
        victim = target(model, attackers, passes, train, test, params.attacks, where)
        raw["prototype"] = prototype_curves(victim, params.attacks, params.prototype)
        raw["retain_only"] = asdict(after_retain_only(victim, params.attacks, params.retain_only))
        raw["batchnorm"] = asdict(after_recalibration(victim, params.attacks, params.batchnorm))
    with watch.part("relearning"):
        raw["relearn"] = relearning_curves(
            victim, params.attacks, params.relearn, params.prototype, params.linear_probe
        )
    with watch.part("predictors"):
        retained = retained_batches(manifest, train, params.predictors, cfg.batch_size)
        raw["predictors"] = predictors(model, subject.original, retained, where, params.predictors.points)
    with watch.part("IDI's critics"):
        is_forget = torch.from_numpy(np.isin(sample, forget)).long()
        raw["mutual_information"] = measure_layers(model, on_train.maps, is_forget, critics, where.device)
        raw["label_entropy"] = label_entropy(is_forget)
        raw["too_few"] = [reason for reason in [too_few(is_forget)] if reason and measured]
    return {"layers": [*layers, PENULTIMATE], **raw}, shared_of(passes, cfg.shared_samples, cfg.seed)


def rows_of_layers(manifest: Manifest, kept: np.ndarray, params: Params) -> np.ndarray:
    """Return of which of the kept training samples, sorted, the features of the layers before the last are needed.

    Probes are fitted on some; where samples are to be forgotten, models are compared on these.
    """
    probed = probed_rows(len(kept), params.linear_probe, params.evaluate.seed)
    compared = np.flatnonzero(manifest.to_forget("train")[kept]) if manifest.forget_samples else probed
    return np.union1d(probed, compared)
