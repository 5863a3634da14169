import math

import pytest
import torch

from unlearning.metrics.alone.lira import lira_auc, lira_scores
from unlearning.metrics.beside.rmia import log_reference, rmia_scores


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def halves(shadows: int, samples: int, seed: int = 0) -> torch.Tensor:
    """Return which shadow models were trained without which samples: half of them for each sample."""
    order = torch.rand(shadows, samples, generator=torch.Generator().manual_seed(seed)).argsort(dim=0)
    return order < shadows // 2


def simulated(shadows: int, lift: float, samples: int = 400, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Return target, shadows, out and is_member: images of different hardness, members surer by `lift`."""
    hardness, is_member = 2 * numbers(samples, seed=seed), torch.arange(samples) < samples // 2
    out = halves(shadows, samples, seed)
    out[:, ~is_member] = True  # test images: no shadow model saw them
    says = hardness + 0.5 * numbers(shadows, samples, seed=seed + 1) + lift * ~out
    return hardness + 0.5 * numbers(samples, seed=seed + 2) + lift * is_member, says, out, is_member


def looped(target, shadows, out, is_population, gamma: float, a: float) -> list[float]:
    def p(scaled: float) -> float:
        return 1 / (1 + math.exp(-scaled))

    ratios = []
    for i, value in enumerate(target.tolist()):
        unseen = [p(s) for s, is_out in zip(shadows[:, i].tolist(), out[:, i].tolist(), strict=True) if is_out]
        ratios.append(p(value) / (((1 + a) * sum(unseen) / len(unseen) + (1 - a)) / 2))
    population = [ratio for ratio, is_one in zip(ratios, is_population.tolist(), strict=True) if is_one]
    return [sum(ratio / z > gamma for z in population) / len(population) for ratio in ratios]


@pytest.mark.parametrize(("gamma", "a"), [(1.3, 0.3), (2.0, 0.6), (1.1, 1.0), (1.5, 0.0)])
def test_scores_equal_the_loop_over_pairs(gamma: float, a: float) -> None:
    target, says, out, is_member = simulated(4, 1.0, samples=60)
    found = rmia_scores(target, says, out, ~is_member, gamma, a)
    assert found.tolist() == pytest.approx(looped(target, says, out, ~is_member, gamma, a))
    assert 0 < found.mean() < 1


def test_a_pair_by_hand() -> None:
    # p = 1/2 and 1/5 under the target, p_out = 1/2 of both: with a = 1 the ratios are 1 and 2/5, 2.5 apart.
    target = torch.tensor([0.0, -math.log(4)], dtype=torch.float64)
    says, out = torch.zeros(2, 2, dtype=torch.float64), torch.ones(2, 2).bool()
    population = torch.tensor([False, True])
    assert rmia_scores(target, says, out, population, gamma=2.4, offline_a=1.0).tolist() == [1, 0]
    assert rmia_scores(target, says, out, population, gamma=2.6, offline_a=1.0).tolist() == [0, 0]
    assert rmia_scores(target, says, out, population, gamma=1.0, offline_a=1.0).tolist() == [1, 0.5]  # itself: half


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_reference_is_the_mean_of_what_is_known_and_what_is_assumed_of_the_others(a: float) -> None:
    says = torch.tensor([[0.0], [math.log(3)], [50.0]], dtype=torch.float64)
    p_out = (1 / 2 + 3 / 4) / 2
    assumed_in = a * p_out + 1 - a
    found = log_reference(says, torch.tensor([[True], [True], [False]]), a).exp()
    assert found.tolist() == pytest.approx([(p_out + assumed_in) / 2])


@pytest.mark.parametrize("lift", [0.0, 2.0])
def test_what_shadow_models_say_of_images_they_saw_does_not_matter(lift: float) -> None:
    target, says, out, is_member = simulated(4, lift)
    other = says.masked_fill(~out, -99.0)
    assert torch.equal(*(rmia_scores(target, one, out, ~is_member, 1.0, 0.3) for one in (says, other)))


def test_images_so_well_forgotten_that_their_probability_is_0_are_still_ranked() -> None:
    target = torch.tensor([-900.0, -1000.0, -1100.0], dtype=torch.float64)
    says, population = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([False, True, False])
    for a in (0.3, 1.0):
        assert rmia_scores(target, says, torch.ones(2, 3).bool(), population, 1.0, a).tolist() == [1, 0.5, 0]


def test_at_gamma_1_members_and_others_are_ranked_as_by_the_ratio_itself() -> None:
    target, says, out, is_member = simulated(4, 0.5)
    ratio = torch.nn.functional.logsigmoid(target) - log_reference(says, out, 0.3)
    found = lira_auc(rmia_scores(target, says, out, ~is_member, 1.0, 0.3), is_member)
    assert found.auc == pytest.approx(lira_auc(ratio, is_member).auc)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_members_are_found_where_there_are_any(gamma: float) -> None:
    target, says, out, is_member = simulated(4, 3.0)
    assert lira_auc(rmia_scores(target, says, out, ~is_member, gamma, 0.3), is_member).auc > 75


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_members_like_others_are_a_coin(gamma: float) -> None:
    aucs = []
    for seed in range(20):
        target, says, out, is_member = simulated(4, 0.0, seed=10 * seed)
        aucs.append(lira_auc(rmia_scores(target, says, out, ~is_member, gamma, 0.3), is_member).auc)
    assert sum(aucs) / len(aucs) == pytest.approx(50, abs=2)


def test_beats_lira_with_two_shadow_models_where_the_deviation_differs_between_images() -> None:
    """Hard images vary much from model to model: one deviation for all, all that two models allow LiRA, misleads it."""
    better = []
    for seed in range(10):
        samples = 600
        is_member, hard = torch.arange(samples) < samples // 2, numbers(samples, seed=seed) > 0.5
        out = halves(2, samples, seed)
        out[:, ~is_member] = True
        mean, noise = torch.where(hard, -2.0, 4.0), torch.where(hard, 0.5, 3.0)
        says = mean + noise * numbers(2, samples, seed=seed + 100)
        target = mean + noise * numbers(samples, seed=seed + 200) + torch.where(hard, 2.0, 0.5) * is_member
        rmia = lira_auc(rmia_scores(target, says, out, ~is_member, 1.0, 0.3), is_member).auc
        better.append(rmia - lira_auc(lira_scores(target, says, out), is_member).auc)
    assert min(better) > 0


def test_lira_is_the_stronger_where_logits_vary_alike_for_all_images() -> None:
    """Neither replaces the other: here LiRA's assumption holds, and a probability near 1 hides what a logit shows."""
    target, says, out, is_member = simulated(2, 1.0)
    lira = lira_auc(lira_scores(target, says, out), is_member).auc
    assert lira > lira_auc(rmia_scores(target, says, out, ~is_member, 1.0, 0.3), is_member).auc + 5


def test_a_sample_that_every_shadow_model_saw_is_an_error() -> None:
    out = torch.ones(4, 3).bool()
    out[:, 1] = False
    with pytest.raises(ValueError, match="trained without it"):
        rmia_scores(numbers(3), numbers(4, 3), out, torch.ones(3).bool(), 1.0, 0.3)
