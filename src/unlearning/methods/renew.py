"""Renew: fresh weights in depth, the masked original as a teacher on retain images, features matched. Ours.

What attacks bring back lies in weights: after fine-tuning, or after a contrast on top of them, the deep layers still
hold the directions in which the classes were told apart. So they go first: w <- (1 - a) w + a w_fresh, with a share `a`
per stage that rises to 1. What that costs in utility comes back in few passes over the retain set, because the
original, its absent classes masked, teaches the retained ones; no forget image is ever shown to it, its answers there
would leak the classes back. Meanwhile the features of forget images are matched with those of retain images as
distributions (MMD, the retain side detached), so that no layer tells who was erased. The contrast of EC's Eq. 1 in its
place draws them to one point, which marks them. What each part does: docs/renew.md.

The parts are known: a mix with fresh weights (Ash and Adams 2020, arXiv 1910.08475), resetting the last layers (EU-k,
Goel et al., arXiv 2201.06640), distilling into weights that forgot (UNDO, arXiv 2506.06278), distance of the weights
against relearning (arXiv 2505.22310), matching domains by MMD (Long et al. 2015, arXiv 1502.02791). With
`lambda_mmd: 0` no forget image is needed at all.
"""

from collections.abc import Iterator
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.bounds import ForwardBatch, Shares, Temperature, Temperatures, Weight, Weights
from unlearning.counts import Counts
from unlearning.data.batches import Batch
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.losses.deep_supervision import weighted_sum
from unlearning.losses.distillation import distillation, without_classes
from unlearning.losses.mmd import mmd
from unlearning.methods.families.points import Points, sides
from unlearning.models.supervision import SupervisedNetwork, forward_pair
from unlearning.models.taps import stage_of_each, stages
from unlearning.params import UnlearnRecipe


class Config(UnlearnRecipe):
    shares: Shares  # a, of fresh weights: of each stage, then of the head
    lambda_ce: Weight
    lambda_kd: Weight
    temperature: Temperature
    lambda_mmd: Weight
    taus: Temperatures  # of the kernel
    layer_weights: Weights  # w, of the match at the end of each stage
    forget_batch_size: ForwardBatch  # forget images beside each retain batch

    def steps(self, images: Counts) -> int:
        return self.epochs * images.steps("retain", self.batch_size)


def refusals(model: nn.Module, cfg: Config) -> list[str]:
    """Return what is wrong with shares and weights that are not one a stage of this network."""
    return [line for line in (_wrong_shares(model, cfg.shares), _wrong_weights(model, cfg.layer_weights)) if line]


def _wrong_shares(model: nn.Module, shares: list[float]) -> str | None:
    names = [stage.module for stage in stages(model)]
    if len(shares) == len(names) + 1:
        return None
    told = f"{len(shares)} shares for {len(names)} stages ({', '.join(names)}) and the classifier"
    return f"renew.shares: {told}; give {len(names) + 1}"


def _wrong_weights(model: nn.Module, weights: list[float]) -> str | None:
    names = [stage.module for stage in stages(model)]
    if len(weights) == len(names):
        return None
    return f"renew.layer_weights: {len(weights)} weights for {len(names)} stages ({', '.join(names)}); give one each"


SEARCH = {"lambda_mmd": (0.5, 8.0)}


def unlearn(run: Run, cfg: Config) -> Iterator[Tensor]:
    """Yield lambda_ce CE(retain) + lambda_kd T^2 KL(masked original || student) + lambda_mmd sum_l w_l MMD_l^2."""
    teacher, absent = run.teacher(), torch.tensor(run.manifest.absent_classes)
    renew(run.model, run.fresh_model(), shares_of(run.model, cfg.shares))
    points = matched_points(run, cfg)
    network = run.optimise(points.network, cfg)
    for retain, forget in meetings(run, cfg):
        if forget is None:
            z_r, apart = network(retain.images), retain.images.new_zeros(())
        else:
            z_f, z_r = forward_pair(network, forget.images, retain.images, joint=True)
            pairs = zip(sides(run, forget, z_f), sides(run, retain, z_r), strict=True)
            apart = weighted_sum([mmd(f.embedding, r.embedding.detach(), cfg.taus) for f, r in pairs], points.weights)
        logits = z_r[-1].head_logits()
        ce = F.cross_entropy(logits, retain.labels)
        kd = distillation(logits, without_classes(teacher(retain.images), absent), cfg.temperature)
        yield cfg.lambda_ce * ce + cfg.lambda_kd * kd + cfg.lambda_mmd * apart


def meetings(run: Run, cfg: Config) -> Iterator[tuple[Batch, Batch | None]]:
    """Yield (retain, forget) for all epochs: a pass over the retain set, beside it the forget set again and again.

    Without a match there is no forget batch, and no forget image is read.
    """
    steps = run.schedule.steps("retain", cfg.batch_size)
    for epoch in run.epochs([steps] * cfg.epochs):
        retained = run.visit("retain", cfg.batch_size, cfg.augment, epoch)
        if cfg.lambda_mmd:
            yield from zip(
                retained,
                run.stream("forget", cfg.forget_batch_size, cfg.augment, (epoch - 1) * steps, steps),
                strict=True,
            )
        else:
            yield from zip(retained, repeat(None))


@torch.no_grad()
def renew(model: nn.Module, fresh: nn.Module, shares: dict[str, float]) -> None:
    """Set every weight to (1 - a) w + a w_fresh in place, BatchNorm's running statistics too; a by name in `shares`."""
    new = fresh.state_dict()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(new[name].to(tensor), shares[name])


def shares_of(model: nn.Module, shares: list[float]) -> dict[str, float]:
    """Return {name in the state dict: share}; raises InputError unless there is one a stage and one for the head."""
    refused = _wrong_shares(model, shares)
    if refused:
        raise InputError(refused)
    return {name: shares[stage] for name, stage in stage_of_each(model).items()}


def matched_points(run: Run, cfg: Config) -> Points:
    """Return the model with a supervision point at the end of each stage whose weight is not 0, and at its end.

    Raises InputError unless there is a weight a stage.
    """
    refused = _wrong_weights(run.model, cfg.layer_weights)
    if refused:
        raise InputError(refused)
    names = [stage.module for stage in stages(run.model)]
    chosen = {name: w for name, w in zip(names[:-1], cfg.layer_weights, strict=False) if w}
    return Points(SupervisedNetwork(run.model, list(chosen)), [*chosen.values(), cfg.layer_weights[-1]])
