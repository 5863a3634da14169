import numpy as np
import pytest
import torch
from torch import nn

from tests.architectures import Backbone
from tests.conftest import NO_AUGMENT, weights_of
from tests.evaluation.victims import retain_only
from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest, Split
from unlearning.engine.launch import launch
from unlearning.evaluation.fine_tuning import fine_tune, steps_over, with_head
from unlearning.metrics.alone.prototype import Head
from unlearning.models.backbone import classifier_of
from unlearning.params import FineTuning


def train(world: Manifest, model: nn.Module, positions: np.ndarray, cfg: FineTuning, seed: int = 0) -> None:
    where = launch("fp32")
    fine_tune(model, ImageSplit(world, "train", where.device), positions, 0.03, cfg, where, seed)


def test_every_weight_moves_and_no_batch_statistic(world: Manifest, trained: nn.Module) -> None:
    before, buffers = weights_of(trained), {name for name, _ in trained.named_buffers()}
    assert buffers
    train(world, trained, np.arange(20), retain_only(steps=2))
    unchanged = {name for name, value in trained.state_dict().items() if torch.equal(value, before[name])}
    assert unchanged == buffers


def test_only_the_chosen_images_are_trained_on_in_as_many_steps(world: Manifest, trained: nn.Module) -> None:
    seen: list[torch.Tensor] = []
    trained.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    positions = np.arange(10, 20)
    train(world, trained, positions, retain_only(steps=5, batch_size=5))
    (batch,) = ImageSplit(world, "train", torch.device("cpu")).batches(in_order(positions, len(positions)))
    asked = {image.numpy().tobytes() for image in batch.images}
    assert [len(images) for images in seen] == [5] * 5
    assert {image.numpy().tobytes() for images in seen for image in images} == asked


def test_the_seed_alone_decides(world: Manifest, trained: nn.Module) -> None:
    ends = []
    for seed, global_seed in ((0, 0), (0, 1), (1, 0)):
        torch.manual_seed(global_seed)
        student = with_head(trained, Head(trained.fc.weight.detach(), trained.fc.bias.detach()))
        train(world, student, np.arange(30), retain_only(steps=3, batch_size=8), seed)
        ends.append(weights_of(student)["fc.weight"])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_another_head_on_a_copy(trained: nn.Module) -> None:
    trained.requires_grad_(False)
    before = weights_of(trained)
    student = with_head(trained, Head(torch.ones(6, 16), torch.arange(6.0)))
    assert torch.equal(student.fc.weight, torch.ones(6, 16))
    assert torch.equal(student.fc.bias, torch.arange(6.0))
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_training_the_copy_changes_neither_the_model_nor_the_head(world: Manifest, trained: nn.Module) -> None:
    head, before = Head(torch.ones(6, 16), torch.zeros(6)), weights_of(trained)
    train(world, with_head(trained, head), np.arange(20), retain_only(steps=2))
    assert torch.equal(head.weight, torch.ones(6, 16))
    assert torch.equal(head.bias, torch.zeros(6))
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


@pytest.mark.parametrize(("count", "batch_size", "steps"), [(10, 4, 7), (3, 8, 2), (8, 8, 3)])
def test_passes_go_on_until_there_are_enough_steps(count: int, batch_size: int, steps: int) -> None:
    plans = steps_over(np.arange(count), batch_size, steps, 0)
    assert [len(plan.positions) for plan in plans] == [min(batch_size, count)] * steps
    assert len({tuple(plan.positions.tolist()) for plan in plans}) > 1
    assert len({plan.seed for plan in plans}) == steps


def test_every_architecture_learns(backbone: Backbone) -> None:
    labels = torch.tensor([0, 1, 2])
    world = Manifest("t", list("abcde"), 64, 3, [0.5] * 3, [0.5] * 3, None, "c", {}, [1])
    world.splits["train"] = Split(["0", "1", "2"], labels.numpy())
    where = launch("fp32")
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    images = ImageSplit(world, "train", where.device, pixels=pixels)
    linear = classifier_of(backbone.model)
    student = with_head(backbone.model, Head(0.1 * torch.randn(linear.weight.shape), torch.zeros(5)))
    before = weights_of(student)
    cfg = FineTuning(steps=2, batch_size=3, momentum=0.9, clip_norm=1.0, augment=NO_AUGMENT)
    fine_tune(student, images, np.arange(3), 0.01, cfg, where, 0)
    after = weights_of(student)
    assert all(value.isfinite().all() for value in after.values() if value.is_floating_point())
    assert any(not torch.equal(after[name], value) for name, value in before.items())
