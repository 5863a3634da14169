"""Attacks that see no label of a forgotten class: retained images alone, and new batch statistics."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.architectures import CASES, enliven
from tests.conftest import weights_of
from tests.evaluation.victims import attacks, batchnorm, retain_only, victim_of
from unlearning.data.batches import shuffled
from unlearning.data.manifest import Manifest
from unlearning.evaluation.attacks import Target
from unlearning.evaluation.batchnorm import after_recalibration, recalibrate
from unlearning.evaluation.retain_only import after_retain_only
from unlearning.models.backbone import build


def test_no_forget_image_is_trained_on(world: Manifest, victim: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = victim.train.batches
    monkeypatch.setattr(victim.train, "batches", lambda plans, augment: seen.extend(plans) or whole(plans, augment))
    after_retain_only(victim, attacks(), retain_only(steps=6))
    labels = world.splits["train"].labels[np.concatenate([plan.positions.numpy() for plan in seen])]
    assert len(labels)
    assert not np.isin(labels, world.forget_classes).any()


def test_retain_only_tells_what_is_left_and_changes_no_model(victim: Target) -> None:
    before = weights_of(victim.model)
    gentle = after_retain_only(victim, attacks(), retain_only(steps=1, lr=1e-9))
    assert gentle == victim.outcome_of_head(victim.head)
    assert all(torch.equal(value, before[name]) for name, value in victim.model.state_dict().items())


def test_retain_only_trains(world: Manifest, trained: nn.Module) -> None:
    nn.init.zeros_(trained.fc.weight)
    victim = victim_of(trained, world, attacks())
    assert victim.outcome_of_head(victim.head).retain < 50
    assert after_retain_only(victim, attacks(), retain_only(steps=40, lr=0.1)).retain > 80


def statistics(model: nn.Module) -> list[torch.Tensor]:
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    return [tensor for layer in layers for tensor in (layer.running_mean, layer.running_var)]


def test_the_first_layers_statistics_are_the_means_over_the_batches(world: Manifest, victim: Target) -> None:
    inputs: list[torch.Tensor] = []
    handle = victim.model.bn1.register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
    recalibrate(victim.model, victim, 0, batchnorm(batches=3))
    handle.remove()
    assert len(inputs) == 3
    mean = torch.stack([one.mean(dim=(0, 2, 3)) for one in inputs]).mean(dim=0)
    variance = torch.stack([one.transpose(0, 1).flatten(1).var(dim=1) for one in inputs]).mean(dim=0)
    assert torch.allclose(victim.model.bn1.running_mean, mean, atol=1e-6)
    assert torch.allclose(victim.model.bn1.running_var, variance, rtol=1e-4)
    plans = shuffled(world.select("train"), 16, 0, "batchnorm")[:3]
    labels = world.splits["train"].labels[torch.cat([plan.positions for plan in plans]).numpy()]
    assert 0 < np.isin(labels, world.forget_classes).sum() < len(labels)


def test_spoilt_statistics_are_repaired_without_touching_a_weight(world: Manifest, victim: Target) -> None:
    for tensor in statistics(victim.model):
        tensor.add_(5.0)
    spoilt = victim_of(victim.model, world, attacks())
    before = spoilt.outcome_of_head(spoilt.head)
    weights = weights_of(spoilt.model)
    after = after_recalibration(spoilt, attacks(), batchnorm(batches=6))
    assert before.retain < 60
    assert after.retain > 85
    assert after.forget > 85
    assert all(torch.equal(value, weights[name]) for name, value in spoilt.model.state_dict().items())


def test_a_model_without_batchnorm_is_what_it_was(world: Manifest) -> None:
    torch.manual_seed(0)
    shape = CASES["vit"].architecture
    kwargs = {**shape.kwargs, "img_size": 8, "patch_size": 4}
    shape = type(shape)(shape.name, kwargs, None, 6, 1, 8)
    one = victim_of(enliven(build(shape)), world, attacks())
    assert not statistics(one.model)
    assert after_recalibration(one, attacks(), batchnorm()) == one.outcome_of_head(one.head)
