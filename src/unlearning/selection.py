"""What hyper-parameters are chosen by: a criterion a name, a function of what runs reached without the test split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import nn

from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.data.samples import balanced_sample, kept_sample
from unlearning.engine.launch import Launch
from unlearning.engine.validation import accuracy, eval_mode, validate
from unlearning.evaluation.information import informed_layers, measure_layers, too_few
from unlearning.evaluation.shared import PENULTIMATE
from unlearning.metrics.beside.cka import debiased_cka
from unlearning.metrics.beside.h_mean import h_mean, normalised_scores
from unlearning.metrics.beside.idi import Trials, Undefined, information_difference_index
from unlearning.models.taps import penultimate, pooled, tapped
from unlearning.over_seeds import FORGETS, KEEPS
from unlearning.params import MutualInformation, Params

BATCH_SIZE = 512  # images


@dataclass(frozen=True)
class Reached:
    """What a model reached, percent; everything from training and validation images."""

    forget_acc: float  # of training images
    retain_acc: float
    validation_forget_acc: float
    validation_retain_acc: float
    cka: float  # debiased, of training images to forget, to the model before unlearning
    idi: float | None = None  # no percent: 0 retrained, 1 original; None without a retrained model, or undefined

    @property
    def h_mean(self) -> float:
        """The paper's H-Mean over the scores of Eq. 5 that there are, validation in the test's place."""
        accuracies = {
            "forget_acc": self.forget_acc,
            "retain_acc": self.retain_acc,
            "test_forget_acc": self.validation_forget_acc,
            "test_retain_acc": self.validation_retain_acc,
        }
        idi = {} if self.idi is None else {"idi": self.idi}
        return h_mean(normalised_scores({**accuracies, "cka": max(self.cka, 0.0), **idi}))

    def gap(self, retrained: "Reached") -> float:
        """Return the mean distance to the retrained model on validation images, in points."""
        forget = abs(self.validation_forget_acc - retrained.validation_forget_acc)
        return (forget + abs(self.validation_retain_acc - retrained.validation_retain_acc)) / 2

    def beyond(self, utility: float) -> float:
        """Return by how many points it misses the bounds that the table sets to who can be best.

        utility: validation retain accuracy, percent, of the model that this one may fall below by `KEEPS` points.
        """
        remembered = max(self.forget_acc, self.validation_forget_acc) - FORGETS
        return max(0.0, remembered) + max(0.0, utility - KEEPS - self.validation_retain_acc)

    def kept(self, forget_weight: float) -> float:
        """Return validation retain accuracy less `forget_weight` times the mean of both forget accuracies."""
        return self.validation_retain_acc - forget_weight * (self.forget_acc + self.validation_forget_acc) / 2


@dataclass(frozen=True)
class Scale:
    """What criteria ask for beside the run itself."""

    beside: Reached  # the retrained model of the same seed, or the original where there is none or none is needed
    forget_weight: float


def _h_mean(reached: Reached, scale: Scale) -> float:
    """Return H-Mean; what lies beyond the bounds costs as `forget_weight` says.

    Without bounds it can pay to keep a fourth of what is to be forgotten, or to lose a third of what is not: where all
    scores but CKA's and IDI's are high, these two alone decide.
    """
    return reached.h_mean - scale.forget_weight * reached.beyond(scale.beside.validation_retain_acc)


def _closeness(reached: Reached, scale: Scale) -> float:
    return -reached.gap(scale.beside)


Criterion = Callable[[Reached, Scale], float]  # larger is better
CRITERIA: dict[str, Criterion] = {
    "h_mean": _h_mean,
    "closeness": _closeness,
    "accuracy": lambda reached, scale: reached.kept(scale.forget_weight),
}
NEED_RETRAINED = ("closeness",)
COUNT_IDI = ("h_mean",)  # where there is a retrained model
USE_RETRAINED = (*COUNT_IDI, *NEED_RETRAINED)


@dataclass(frozen=True)
class Asked:
    """Which layers IDI's critics look at, and on which images."""

    critics: MutualInformation
    layers: list[str]
    positions: np.ndarray  # of training images, half of them to forget
    labels: torch.Tensor  # of these, 1 = to forget


@dataclass(frozen=True)
class Scope:
    """What IDI is measured by, and what the original and the retrained model have there."""

    asked: Asked
    original: Trials
    retrained: Trials
    floor: float  # nats, of the denominator


@dataclass(frozen=True)
class Judge:
    """Measures models of one seed: which images, and the features of the model before unlearning."""

    manifest: Manifest
    where: Launch
    train: ImageSplit
    validation: ImageSplit
    forget: np.ndarray  # positions of training images
    retain: np.ndarray
    before: torch.Tensor  # (n, d), penultimate features of `forget`
    scope: Scope | None = None  # without it there is no IDI

    @classmethod
    def of(cls, model: nn.Module, manifest: Manifest, where: Launch, max_samples: int) -> "Judge":
        """Return the judge that sets models beside this one; at most `max_samples` training images of each part."""
        train, validation = (ImageSplit(manifest, split, where.device) for split in ("train", "validation"))
        parts = (manifest.select("train", "forget"), manifest.select("train", "retain"))
        forget, retain = (part[kept_sample(len(part), max_samples, seed=0)] for part in parts)
        before = features(model, train, forget, where)[PENULTIMATE]
        return cls(manifest, where, train, validation, forget, retain, before)

    def informed(self, original: nn.Module, retrained: nn.Module, params: Params) -> "Judge":
        """Return the judge that measures IDI too, by the cross-fitted estimator in one deal of folds.

        On as many images as the table's IDI: on fewer it is another number, not only a noisier one.
        """
        one_deal = {"estimator": "cross_fitted", "trials": 1}
        critics, layers = params.mutual_information.model_copy(update=one_deal), informed_layers(original, params)
        forget, retain = self.manifest.select("train", "forget"), self.manifest.select("train", "retain")
        positions = balanced_sample(forget, retain, critics.max_samples, critics.seed)
        labels = torch.from_numpy(np.isin(positions, forget)).long()
        if not layers or too_few(labels):
            return self
        asked = Asked(critics, layers, positions, labels)
        first, gold = self.information(original, asked), self.information(retrained, asked)
        return replace(self, scope=Scope(asked, first, gold, params.idi.floor))

    def reached(self, model: nn.Module) -> Reached:
        """Return what a model reached."""
        after = features(model, self.train, self.forget, self.where)[PENULTIMATE]
        with eval_mode(model), self.where.autocast():
            return Reached(
                forget_acc=accuracy(model, self.train, self.forget, self.where),
                retain_acc=accuracy(model, self.train, self.retain, self.where),
                **validate(model, self.validation, self.manifest, self.where),
                cka=debiased_cka(self.before, after),
                idi=None if self.scope is None else self.idi(model, self.scope),
            )

    def idi(self, model: nn.Module, scope: Scope) -> float | None:
        """Return IDI; None where the original knows no more than the retrained model, and it is not defined."""
        own = self.information(model, scope.asked)
        try:
            return information_difference_index(own, scope.original, scope.retrained, scope.floor).idi
        except Undefined:
            return None

    def information(self, model: nn.Module, asked: Asked) -> Trials:
        """Return {layer: I(Z; Y) in nats, one a trial}."""
        known = features(model, self.train, asked.positions, self.where, asked.layers)
        of_layers = {layer: known[layer] for layer in asked.layers}
        measured = measure_layers(model, of_layers, asked.labels, asked.critics, self.where.device)
        return {layer: [trial["held_out"] for trial in trials] for layer, trials in measured.items()}


@torch.no_grad()
def features(
    model: nn.Module, images: ImageSplit, positions: np.ndarray, where: Launch, layers: Sequence[str] = ()
) -> dict[str, torch.Tensor]:
    """Return {layer: pooled features (n, d) of some images}, penultimate always; float32 on the CPU, in eval mode."""
    placed = where.place(model)
    rows: dict[str, list[torch.Tensor]] = {layer: [] for layer in (*layers, PENULTIMATE)}
    with eval_mode(placed), tapped(placed, list(layers)) as taps, penultimate(placed) as last, where.autocast():
        for batch in images.batches(in_order(positions, BATCH_SIZE)):
            placed(batch.images)
            for layer in layers:
                rows[layer].append(pooled(taps[layer].float()).cpu())  # as the table pools: in bf16 it is another mean
            rows[PENULTIMATE].append(last[0].float().cpu())
    return {layer: torch.cat(values) for layer, values in rows.items()}


def average(outcomes: list[Reached]) -> Reached:
    """Return the mean of each number, of those there are; None where there is none."""
    means: dict[str, Any] = {}
    for field in fields(Reached):
        known = [value for value in (getattr(one, field.name) for one in outcomes) if value is not None]
        means[field.name] = mean(known) if known else None
    return Reached(**means)


def cheapest_of_the_best(scores: list[list[float]], costs: list[float]) -> int:
    """Return which setting to use: the cheapest of those within the noise of the seeds of the best.

    scores: a value a seed for each setting, larger is better; settings that were given up have fewer, and lose. costs:
    one a setting. Within the noise: the mean is at most one standard error of the best's own scores below the best's
    mean (Breiman et al. 1984, the one-standard-error rule; the other's noise does not count for it: a setting that
    fails in one seed is not taken for its large spread). With one seed the best itself.
    """
    full = max(map(len, scores))
    whole = {number: mean(of_seeds) for number, of_seeds in enumerate(scores) if len(of_seeds) == full}
    best = max(whole, key=lambda number: whole[number])
    least = whole[best] - (stdev(scores[best]) / full**0.5 if full > 1 else 0)
    near = [number for number in whole if whole[number] >= least]
    return min(near, key=lambda number: (costs[number], -whole[number]))
