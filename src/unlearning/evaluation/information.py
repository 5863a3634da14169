"""Mutual information of each measured layer by the estimator that params.yaml chooses."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlearning.metrics.alone.cross_fitted import critic_views, cross_fitted_information, deal_folds
from unlearning.metrics.alone.info_nce import info_nce_information
from unlearning.metrics.alone.mutual_information import Estimate
from unlearning.models.taps import check_layers, evaluation_layers
from unlearning.params import MutualInformation, Params

LEAST = 10  # images of each kind, forget and retain: with fewer a critic says nothing
Measure = Callable[[nn.Module, str, Tensor, Tensor, MutualInformation, torch.device], list[Estimate]]


@dataclass(frozen=True)
class Estimator:
    """How I(Z; Y) of a layer is estimated, one estimate a trial, and from what."""

    measure: Measure
    on_maps: bool  # from a layer's raw outputs, or from its pooled features


def by_cross_fitting(
    _model: nn.Module, _layer: str, features: Tensor, labels: Tensor, cfg: MutualInformation, _device: torch.device
) -> list[Estimate]:
    """Measure pooled features (n, d) alone; the critics are small and fitted on the CPU."""
    views = critic_views(features, cfg.cross_fitted, cfg.seed)
    return [
        cross_fitted_information(views, labels, deal_folds(labels, cfg.cross_fitted.folds, cfg.seed, trial))
        for trial in range(cfg.trials)
    ]


def by_info_nce(
    model: nn.Module, layer: str, features: Tensor, labels: Tensor, cfg: MutualInformation, device: torch.device
) -> list[Estimate]:
    """Measure raw outputs (n, ...) by critics made of the model's later layers."""
    model = model.float().to(device)
    return [info_nce_information(model, layer, features, labels, cfg, trial, device) for trial in range(cfg.trials)]


ESTIMATORS = {"cross_fitted": Estimator(by_cross_fitting, on_maps=False), "info_nce": Estimator(by_info_nce, True)}


def measure_layers(
    model: nn.Module, features: dict[str, Tensor], labels: Tensor, cfg: MutualInformation, device: torch.device
) -> dict[str, list[dict[str, float]]]:
    """Return {layer: [{"held_out": nats, "train": nats}, one per trial]}.

    features: of each layer, raw outputs or pooled, as the estimator's `on_maps` says; labels (n,): 1 = forget. Nothing
    where there are too few of one kind, as `too_few` says.
    """
    if too_few(labels):
        return {}
    measure = ESTIMATORS[cfg.estimator].measure
    return {
        layer: [vars(estimate) for estimate in measure(model, layer, values, labels, cfg, device)]
        for layer, values in features.items()
    }


def measured_layers(model: nn.Module, params: Params) -> list[str]:
    """Return the layers that are looked at, in depth order; raises InputError for one that is not there."""
    return check_layers(model, params.evaluate.layers or evaluation_layers(model), "evaluate.layers")


def informed_layers(model: nn.Module, params: Params) -> list[str]:
    """Return the layers whose information is measured, which IDI sums over; raises InputError like the above."""
    chosen = params.mutual_information.layers
    layers = measured_layers(model, params)[-3:] if chosen is None else chosen
    return check_layers(model, layers, "mutual_information.layers")


def too_few(labels: Tensor) -> str | None:
    """Return why no information is measured on images of these labels (n,), 1 = forget; None where it is."""
    fewest = min(int((labels == kind).sum()) for kind in (0, 1))
    if fewest >= LEAST:
        return None
    return f"idi needs {LEAST} training images to forget and as many retained ones; there are {fewest}"
