import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from unlearning.metrics.alone.lira import lira_auc, lira_scores, scaled_logit


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def halves(shadows: int, samples: int, seed: int = 0) -> torch.Tensor:
    """Return which shadow models were trained without which samples: half of them for each sample."""
    order = torch.rand(shadows, samples, generator=torch.Generator().manual_seed(seed)).argsort(dim=0)
    return order < shadows // 2


def looped(target: torch.Tensor, shadows: torch.Tensor, out: torch.Tensor) -> list[float]:
    seen = [
        [s for s, is_out in zip(shadows[:, i].tolist(), out[:, i].tolist(), strict=True) if is_out]
        for i in range(len(target))
    ]
    means = [sum(values) / len(values) for values in seen]
    squares = sum((value - m) ** 2 for values, m in zip(seen, means, strict=True) for value in values)
    std = math.sqrt(squares / sum(len(values) - 1 for values in seen))
    return [(value - m) / std for value, m in zip(target.tolist(), means, strict=True)]


def test_scaled_logit_is_the_log_odds_of_the_true_class() -> None:
    logits, labels = 2 * numbers(40, 5), torch.randint(5, (40,), generator=torch.Generator().manual_seed(1))
    for row, label, value in zip(
        logits.softmax(dim=1).tolist(), labels.tolist(), scaled_logit(logits, labels), strict=True
    ):
        assert value.item() == pytest.approx(math.log(row[label] / (1 - row[label])))


def test_scaled_logit_of_two_classes_is_their_difference() -> None:
    assert scaled_logit(torch.tensor([[3.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1])).tolist() == [2.0, -2.0]


def test_scaled_logit_of_extreme_logits_is_finite_and_still_tells_them_apart() -> None:
    logits = torch.tensor([[1000.0, -1000.0, -1000.0], [900.0, -1000.0, -1000.0]])
    sure, less = scaled_logit(logits, torch.tensor([0, 0])).tolist()
    assert sure == pytest.approx(2000 - math.log(2))
    assert less == pytest.approx(1900 - math.log(2))
    assert scaled_logit(logits, torch.tensor([1, 2])).tolist() == pytest.approx([-2000, -1900])


def test_scaled_logit_leaves_the_logits_as_they_were() -> None:
    logits = numbers(3, 4).float()
    before = logits.clone()
    assert scaled_logit(logits, torch.tensor([0, 1, 2])).dtype == torch.float64
    assert torch.equal(logits, before)


@pytest.mark.parametrize("shadows", [4, 8])
def test_scores_equal_the_loop_with_one_deviation_for_all_samples(shadows: int) -> None:
    target, says = numbers(50), numbers(shadows, 50, seed=1) + numbers(50, seed=2)
    out = halves(shadows, 50)
    out[:, 30:] = True  # test images: no shadow model saw them
    assert lira_scores(target, says, out).tolist() == pytest.approx(looped(target, says, out))


def test_what_shadow_models_say_of_images_they_saw_does_not_matter() -> None:
    target, says, out = numbers(20), numbers(6, 20, seed=1), halves(6, 20)
    assert torch.equal(lira_scores(target, says, out), lira_scores(target, says.masked_fill(~out, 1e9), out))


def test_a_target_at_the_mean_scores_0_and_one_deviation_above_it_1() -> None:
    says = torch.tensor([[0.0, 10.0], [2.0, 12.0]], dtype=torch.float64)  # means 1 and 11, deviation sqrt(2)
    found = lira_scores(torch.tensor([1.0, 11 + 2**0.5], dtype=torch.float64), says, torch.ones(2, 2).bool())
    assert found.tolist() == pytest.approx([0, 1])


def test_a_sample_that_every_shadow_model_saw_is_an_error() -> None:
    out = torch.ones(4, 3).bool()
    out[:, 1] = False
    with pytest.raises(ValueError, match="trained without it"):
        lira_scores(numbers(3), numbers(4, 3), out)


def test_shadow_models_that_agree_give_no_nan() -> None:
    found = lira_scores(torch.tensor([1.0, 2.0, 3.0]), torch.full((4, 3), 2.0), torch.ones(4, 3).bool())
    assert found.isfinite().all()
    assert found.sign().tolist() == [-1, 0, 1]


def test_one_shadow_model_a_sample_gives_no_nan() -> None:
    out = torch.tensor([[True, False], [False, True]])
    low, high = lira_scores(torch.tensor([1.0, 2.0]), torch.full((2, 2), 1.5), out).tolist()
    assert -float("inf") < low < 0 < high < float("inf")


def test_members_of_which_the_model_is_surer_are_found() -> None:
    is_member = torch.arange(100) < 50
    hardness, out = 3 * numbers(100), halves(8, 100)
    says = hardness + 0.3 * numbers(8, 100, seed=1)
    target = hardness + 0.3 * numbers(100, seed=2) + 2 * is_member
    found = lira_auc(lira_scores(target, says, out), is_member)
    assert found.auc > 98
    assert found.low <= found.auc <= found.high <= 100
    assert lira_auc(lira_scores(target - 2 * is_member, says, out), is_member).auc == pytest.approx(50, abs=12)


def test_auc_equals_scikit_learn_and_members_need_not_come_first() -> None:
    found, is_member = numbers(60), torch.rand(60, generator=torch.Generator().manual_seed(1)) < 0.4
    assert lira_auc(found, is_member).auc == pytest.approx(100 * roc_auc_score(is_member.numpy(), found.numpy()))


def test_samples_far_out_are_still_ranked() -> None:
    # Deviation 1: the normal distribution rounds to 1 above 8.3, where members are surer than others still.
    says = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64).expand(3, 40)
    is_member = torch.arange(40) < 20
    target = 10 + numbers(40).abs() + 5 * is_member
    assert lira_auc(lira_scores(target, says, torch.ones(3, 40).bool()), is_member).auc == pytest.approx(
        100 * roc_auc_score(is_member.numpy(), np.asarray(target))
    )
