import pytest
import torch
from torch.nn import functional as F

from unlearning.losses.contrastive_unlearning import contrastive_unlearning
from unlearning.losses.deep_supervision import deep_supervision
from unlearning.models.supervision import Supervision


def points(count: int, heads: list[bool]) -> list[Supervision]:
    return [
        Supervision(F.normalize(torch.randn(count, 5), dim=1), torch.randn(count, 3) if head else None)
        for head in heads
    ]


def contrast(z_f: torch.Tensor, z_r: torch.Tensor) -> torch.Tensor:
    return contrastive_unlearning(z_f, z_r, 0.07)


def test_is_the_weighted_sum_of_equation_3() -> None:
    torch.manual_seed(0)
    forget, retain, labels = points(4, [True] * 3), points(6, [True] * 3), torch.randint(3, (6,))
    weights = [0.2, 0.4, 1.0]
    expected = sum(
        w * (1.5 * contrast(f.embedding, r.embedding) + 0.7 * F.cross_entropy(r.logits, labels))
        for w, f, r in zip(weights, forget, retain, strict=True)
    )
    torch.testing.assert_close(deep_supervision(forget, retain, labels, contrast, 1.5, 0.7, weights), expected)


def test_a_point_without_head_has_no_cross_entropy() -> None:
    forget, retain = points(2, [False]), points(2, [False])
    loss = deep_supervision(forget, retain, torch.zeros(2, dtype=torch.long), contrast, 2.0, 100.0, [1.0])
    torch.testing.assert_close(loss, 2 * contrast(forget[0].embedding, retain[0].embedding))


def test_one_point_is_the_plain_method() -> None:
    forget, retain, labels = points(3, [True]), points(3, [True]), torch.tensor([0, 1, 2])
    expected = contrast(forget[0].embedding, retain[0].embedding) + F.cross_entropy(retain[0].logits, labels)
    torch.testing.assert_close(deep_supervision(forget, retain, labels, contrast, 1.0, 1.0, [1.0]), expected)


def test_refuses_a_wrong_number_of_weights() -> None:
    with pytest.raises(ValueError, match="zip"):
        deep_supervision(points(2, [True]), points(2, [True]), torch.tensor([0, 1]), contrast, 1.0, 1.0, [1.0, 1.0])
