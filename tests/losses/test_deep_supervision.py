import pytest
import torch
from torch.nn import functional as F

from unlearning.losses.deep_supervision import cross_entropies, weighted_sum
from unlearning.models.supervision import Supervision


def points(count: int, heads: list[bool]) -> list[Supervision]:
    return [Supervision(torch.randn(count, 5), torch.randn(count, 3) if head else None) for head in heads]


def test_is_the_weighted_sum_of_equation_3() -> None:
    losses = [torch.tensor(2.0), torch.tensor(-1.0), torch.tensor(0.5)]
    assert weighted_sum(losses, [0.2, 0.4, 1.0]).item() == pytest.approx(0.2 * 2 - 0.4 * 1 + 0.5)


def test_a_weight_scales_the_gradient_of_its_loss_alone() -> None:
    losses = [torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)]
    weighted_sum(losses, [0.25, 4.0]).backward()
    assert [loss.grad.item() for loss in losses] == [0.25, 4.0]


def test_refuses_a_wrong_number_of_weights() -> None:
    with pytest.raises(ValueError, match="zip"):
        weighted_sum([torch.tensor(1.0)], [1.0, 1.0])


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_cross_entropy_at_each_head(temperature: float) -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 2, 1, 1])
    heads = points(4, [True, True])
    for loss, point in zip(cross_entropies(heads, labels, temperature), heads, strict=True):
        logits = (point.logits / temperature).tolist()
        expected = [sum(torch.tensor(row).exp().tolist()) for row in logits]
        by_hand = sum(torch.tensor(e).log().item() - row[y] for e, row, y in zip(expected, logits, labels, strict=True))
        assert loss.item() == pytest.approx(by_hand / 4, rel=1e-5)


def test_a_point_without_head_has_no_cross_entropy() -> None:
    without, with_head = cross_entropies(points(2, [False, True]), torch.tensor([0, 1]))
    assert without.item() == 0
    assert with_head.item() > 0


def test_label_smoothing_is_that_of_the_cross_entropy() -> None:
    [point], labels = points(3, [True]), torch.tensor([0, 1, 2])
    [smoothed] = cross_entropies([point], labels, label_smoothing=0.2)
    torch.testing.assert_close(smoothed, F.cross_entropy(point.logits, labels, label_smoothing=0.2))
