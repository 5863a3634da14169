import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conftest import CLASSES, SHAPE, SIZE
from unlearning.data.batches import Batch, ImageSplit
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.evaluation.loss_barrier import barrier, between, losses_between, predictors, retained_batches
from unlearning.models.backbone import build
from unlearning.params import Predictors

CPU = Launch(torch.device("cpu"), rank=0, world=1, dtype=torch.float32)


def batches_of(*images: Tensor, classes: int = CLASSES) -> list[Batch]:
    return [Batch(one, torch.arange(len(one)) % classes, torch.arange(len(one))) for one in images]


@pytest.fixture
def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return batches_of(*(torch.randn(count, 1, SIZE, SIZE, generator=generator) for count in (12, 5)))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return build(SHAPE)


class Scalar(nn.Module):
    """Two logits that depend on one weight: (w x)^2 and 0."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([(self.weight * x[:, 0]) ** 2, torch.zeros(len(x))], dim=1)


def test_a_model_is_at_distance_0_and_behind_no_barrier_of_itself(model: nn.Module, batches: list[Batch]) -> None:
    assert predictors(copy.deepcopy(model), model, batches, CPU, 3) == {"weight_distance": 0, "loss_barrier": 0}


def test_a_barrier_in_one_dimension() -> None:
    # w = -2 and w = 2 are the same function; between them, at w = 0, it answers log 2 for the image of class 0.
    images = batches_of(torch.ones(1, 1))
    low, high = math.log1p(math.exp(-4)), math.log(2)
    for points, top in ((1, high), (3, high), (2, math.log1p(math.exp(-((2 / 3) ** 2))))):
        found = predictors(Scalar(2.0), Scalar(-2.0), images, CPU, points)
        assert found == pytest.approx({"weight_distance": 2, "loss_barrier": top - low}, abs=1e-6)


def test_the_barrier_is_what_rises_above_the_straight_line() -> None:
    assert barrier(torch.tensor([1.0, 2.0, 3.0, 4.0])) == pytest.approx(0)
    assert barrier(torch.tensor([1.0, 2.0, 5.0, 4.0])) == pytest.approx(2)
    assert barrier(torch.tensor([4.0, 1.0, 0.0])) == pytest.approx(-1)  # it sags


def test_losses_are_those_of_the_interpolated_network(model: nn.Module, batches: list[Batch]) -> None:
    torch.manual_seed(1)
    other = build(SHAPE)
    other.train()(batches[0].images)  # other batch statistics, and a counter
    found = losses_between(model, other, batches, CPU, 3)
    images, labels = torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
    for t, loss in zip((0, 0.25, 0.5, 0.75, 1), found.tolist(), strict=True):
        walker = copy.deepcopy(model)
        walker.load_state_dict(between(model.state_dict(), other.state_dict(), t))
        with torch.no_grad():
            assert loss == pytest.approx(F.cross_entropy(walker.eval()(images), labels).item(), rel=1e-5)
    with torch.no_grad():  # the ends are the models themselves
        ends = [F.cross_entropy(one.eval()(images), labels).item() for one in (model, other)]
    assert found[[0, -1]].tolist() == pytest.approx(ends, rel=1e-5)


def test_batch_statistics_are_interpolated_and_counters_are_not() -> None:
    one, other = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    other.running_mean.fill_(4.0)
    other.num_batches_tracked.fill_(10)
    mixed = between(one.state_dict(), other.state_dict(), 0.25)
    assert mixed["running_mean"].item() == 1
    assert mixed["num_batches_tracked"].item() == 0


def test_the_same_function_with_its_neurons_in_another_order_is_behind_a_barrier() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    images = [Batch(x, (x[:, 0] * x[:, 1] > 0).long(), torch.arange(64))]
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(net(x), images[0].labels).backward()
        optimizer.step()
    permuted, order = copy.deepcopy(net), torch.randperm(16)
    with torch.no_grad():
        permuted[0].weight.copy_(net[0].weight[order])
        permuted[0].bias.copy_(net[0].bias[order])
        permuted[2].weight.copy_(net[2].weight[:, order])
    assert torch.allclose(permuted(x), net(x), atol=1e-5)
    found = predictors(permuted, net, images, CPU, 5)
    assert found["weight_distance"] > 0.5
    assert found["loss_barrier"] > 0.1


def test_neither_model_is_changed(model: nn.Module, batches: list[Batch]) -> None:
    torch.manual_seed(1)
    other = build(SHAPE).train()
    before = [copy.deepcopy(one.state_dict()) for one in (model, other)]
    predictors(model, other, batches, CPU, 2)
    for one, state in zip((model, other), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
    assert other.training


def test_a_model_of_another_architecture_has_no_numbers(batches: list[Batch]) -> None:
    wider = copy.deepcopy(SHAPE.kwargs) | {"channels": [8, 8, 8, 24]}
    other = build(type(SHAPE)(SHAPE.name, wider, SHAPE.small_stem, SHAPE.classes, SHAPE.channels, SHAPE.image_size))
    assert predictors(other, build(SHAPE), batches, CPU, 2) == {}


@pytest.mark.parametrize(("max_samples", "count"), [(10, 10), (10_000, None)])
def test_images_are_retained_ones_at_most_so_many_and_always_the_same(
    world: Manifest, max_samples: int, count: int | None
) -> None:
    train, cfg = ImageSplit(world, "train", CPU.device), Predictors(points=1, max_samples=max_samples, seed=0)
    found = retained_batches(world, train, cfg, batch_size=4)
    labels = torch.cat([batch.labels for batch in found])
    assert len(labels) == (count or len(world.select("train", "retain")))
    assert not torch.isin(labels, torch.tensor(world.forget_classes)).any()
    assert max(len(batch.labels) for batch in found) == 4
    again = retained_batches(world, train, cfg, batch_size=4)
    assert all(torch.equal(a.images, b.images) for a, b in zip(found, again, strict=True))
