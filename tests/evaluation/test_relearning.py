import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from tests.architectures import enliven
from tests.conftest import CLASSES, PARAMS, RECIPE, SHAPE, weights_of
from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest, Split
from unlearning.engine.launch import launch
from unlearning.engine.validation import accuracy
from unlearning.evaluation.relearning import few_shots, fine_tune, relearning_curve
from unlearning.models.backbone import build
from unlearning.params import Relearn

FORGET = [1, 4]  # of the small world, with 16 training images a class


def config(**changes: object) -> Relearn:
    """Return the parameters as in params.yaml, but for a recipe that suits the small world, and `changes`."""
    own = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["relearn"]
    bounds = {key: own[key] for key in ("optimizer", "weight_decay", "clip_norm")}
    return Relearn(**{**own, **RECIPE, **bounds, "shots": [1, 3], **changes})


@pytest.fixture
def model() -> nn.Module:
    """Return an untrained network in training mode, but for one part that is not."""
    torch.manual_seed(0)
    model = enliven(build(SHAPE)).train()
    model.layer3.eval()
    return model


def curve(world: Manifest, model: nn.Module, cfg: Relearn) -> dict[int, float]:
    where = launch("fp32")
    return relearning_curve(model, world, ImageSplit(world, "test", where.device), cfg, where, workers=0)


def train(world: Manifest, model: nn.Module, positions: np.ndarray, cfg: Relearn) -> None:
    fine_tune(model, world, positions, cfg, launch("fp32"), workers=0)


def counts(world: Manifest, positions: np.ndarray) -> dict[int, int]:
    labels = world.splits["train"].labels[positions]
    return {label: int((labels == label).sum()) for label in range(CLASSES)}


@pytest.mark.parametrize("shots", [1, 2, 5, 16])
def test_so_many_images_of_each_class_to_forget_and_as_many_retained_ones_in_all(world: Manifest, shots: int) -> None:
    positions = few_shots(world, shots, seed=0)
    assert positions.tolist() == sorted(set(positions.tolist()))
    of_class = counts(world, positions)
    assert [of_class[label] for label in FORGET] == [shots, shots]
    assert sum(of_class.values()) == 4 * shots


def test_the_images_for_fewer_shots_are_among_those_for_more(world: Manifest) -> None:
    chosen = [set(few_shots(world, shots, seed=0).tolist()) for shots in (1, 2, 5, 16)]
    assert all(fewer < more for fewer, more in zip(chosen, chosen[1:], strict=False))


def test_a_class_with_fewer_images_gives_all_it_has(world: Manifest) -> None:
    labels = world.splits["train"].labels
    kept = np.sort(np.concatenate([np.flatnonzero(labels != 4), np.flatnonzero(labels == 4)[:3]]))
    uneven = replace(world, splits=world.splits | {"train": Split([str(i) for i in kept], labels[kept])})
    of_class = counts(uneven, few_shots(uneven, 10, seed=0))
    assert [of_class[label] for label in FORGET] == [10, 3]
    assert sum(of_class[label] for label in range(CLASSES) if label not in FORGET) == 13


def test_where_fewer_are_retained_all_of_them_are_used(world: Manifest) -> None:
    of_class = counts(world, few_shots(replace(world, forget_classes=[0, 1, 2, 3, 4]), 16, seed=0))
    assert of_class == dict.fromkeys(range(CLASSES), 16)


def test_the_choice_of_images_depends_on_the_seed_alone(world: Manifest) -> None:
    def chosen(seed: int, global_seed: int) -> list[int]:
        np.random.seed(global_seed)
        return few_shots(world, 3, seed).tolist()

    assert chosen(0, 0) == chosen(0, 1)
    assert chosen(0, 0) != chosen(1, 0)


def test_the_retained_images_are_of_several_classes(world: Manifest) -> None:
    of_class = counts(world, few_shots(world, 5, seed=0))
    assert sum(of_class[label] > 0 for label in range(CLASSES) if label not in FORGET) > 1


def test_the_curve_leaves_the_model_as_it_was(world: Manifest, model: nn.Module) -> None:
    weights = weights_of(model)
    modes = {name: module.training for name, module in model.named_modules()}
    curve(world, model, config())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_the_curve_has_an_accuracy_in_percent_for_each_number_of_shots(world: Manifest, model: nn.Module) -> None:
    found = curve(world, model, config(shots=[5, 1]))
    assert list(found) == [5, 1]
    assert all(0 <= value <= 100 for value in found.values())


def test_a_point_of_the_curve_does_not_depend_on_the_others(world: Manifest, model: nn.Module) -> None:
    cfg = {"epochs": 6}
    assert curve(world, model, config(shots=[1, 16], **cfg))[16] == curve(world, model, config(shots=[16], **cfg))[16]


def test_without_shots_nothing_is_done(world: Manifest, model: nn.Module) -> None:
    assert curve(world, model, config(shots=[])) == {}


def test_fine_tuning_is_deterministic(world: Manifest, model: nn.Module) -> None:
    students = [copy.deepcopy(model) for _ in range(2)]
    for seed, student in enumerate(students):
        torch.manual_seed(seed)
        np.random.seed(seed)
        train(world, student, few_shots(world, 3, seed=0), config())
    first, again = (student.state_dict() for student in students)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_curve_is_deterministic(world: Manifest, model: nn.Module) -> None:
    assert curve(world, model, config()) == curve(world, model, config())


def test_fine_tuning_moves_every_weight_and_no_batch_statistic(world: Manifest, model: nn.Module) -> None:
    before = weights_of(model)
    buffers = {name for name, _ in model.named_buffers()}
    assert buffers
    train(world, model, few_shots(world, 3, seed=0), config())
    unchanged = {name for name, value in model.state_dict().items() if torch.equal(value.cpu(), before[name])}
    assert unchanged == buffers


def test_fine_tuning_leaves_nothing_on_the_disk(world: Manifest, model: nn.Module) -> None:
    before = sorted(Path.cwd().rglob("*"))
    train(world, model, few_shots(world, 1, seed=0), config())
    assert sorted(Path.cwd().rglob("*")) == before


def test_only_the_chosen_images_are_trained_on(world: Manifest, model: nn.Module) -> None:
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach().cpu()))
    positions = few_shots(world, 2, seed=0)
    plain = {"jitter": 0.0}
    train(world, model, positions, config(epochs=3, augment=RECIPE["augment"].model_copy(update=plain)))
    (batch,) = ImageSplit(world, "train", torch.device("cpu")).batches(in_order(positions, len(positions)))
    asked = {image.numpy().tobytes() for image in batch.images}
    assert len(asked) == 8
    for images in seen:  # one batch of all of them an epoch
        assert {image.numpy().tobytes() for image in images} == asked
    assert len(seen) == 3


def test_a_model_that_never_saw_the_classes_learns_them_from_enough_images(world: Manifest) -> None:
    torch.manual_seed(0)
    retrained, where = build(SHAPE), launch("fp32")
    quick = {"optimizer": "adam", "lr": 0.01, "epochs": 12}
    train(world, retrained, world.select("train", "retain"), config(**quick))
    test = ImageSplit(world, "test", where.device)
    assert accuracy(retrained, test, world.select("test", "retain")) > 80
    assert accuracy(retrained, test, world.select("test", "forget")) == 0
    assert curve(world, retrained, config(shots=[16], **quick))[16] > 80
