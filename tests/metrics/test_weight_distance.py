import copy
import math

import pytest
import torch
from torch import nn

from tests.conftest import SHAPE
from unlearning.metrics.alone.weight_distance import weight_distance
from unlearning.models.backbone import build


def test_closed_form() -> None:
    original = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])}  # of length 5
    own = {"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([[6.0]])}  # moved by (0, 1, 2)
    assert weight_distance(own, original) == pytest.approx(math.sqrt(5) / 5)


def test_the_original_itself_is_at_0_and_its_negative_at_2() -> None:
    original = dict(build(SHAPE).named_parameters())
    assert weight_distance(original, original) == 0
    assert weight_distance({name: -value for name, value in original.items()}, original) == pytest.approx(2)


def test_the_unit_of_the_weights_does_not_matter() -> None:
    first, second = (torch.randn(20, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    expected = weight_distance({"w": first}, {"w": second})
    assert expected == pytest.approx(((first - second).norm() / second.norm()).item(), rel=1e-5)
    assert weight_distance({"w": 7 * first}, {"w": 7 * second}) == pytest.approx(expected)


def test_batch_statistics_are_no_parameters() -> None:
    model = build(SHAPE)
    other = copy.deepcopy(model)
    other.bn1.running_mean += 5
    assert weight_distance(dict(other.named_parameters()), dict(model.named_parameters())) == 0


@pytest.mark.parametrize("other", [nn.Linear(3, 2, bias=False), nn.Linear(2, 2)])
def test_another_architecture_is_an_error(other: nn.Module) -> None:
    with pytest.raises(ValueError, match="one architecture"):
        weight_distance(dict(other.named_parameters()), dict(nn.Linear(3, 2).named_parameters()))


def test_an_original_without_weights_is_an_error() -> None:
    with pytest.raises(ValueError, match="not 0"):
        weight_distance({"w": torch.ones(2)}, {"w": torch.zeros(2)})
