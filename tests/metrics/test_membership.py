import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearning.metrics.alone.membership import (
    FOLDS,
    attack,
    membership_inference,
    membership_statistics,
    stratified_folds,
)

ATTACKS = {"confidence", "entropy", "modified_entropy", "loss", "all"}
CLASSES = 4


def answers(count: int, sure: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits, higher by `sure` for the true class, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    logits = torch.randn(count, CLASSES, generator=generator, dtype=torch.float64)
    return logits + sure * torch.eye(CLASSES)[labels], labels


def looped(row: list[float], label: int) -> dict[str, float]:
    weights = [math.exp(value - max(row)) for value in row]
    p = [weight / sum(weights) for weight in weights]
    return {
        "confidence": p[label],
        "entropy": -sum(one * math.log(one) for one in p),
        "modified_entropy": -(1 - p[label]) * math.log(p[label])
        - sum(one * math.log(1 - one) for i, one in enumerate(p) if i != label),
        "loss": -math.log(p[label]),
    }


@pytest.mark.parametrize("sure", [-3.0, 0.0, 3.0, 12.0])
def test_statistics_equal_the_formulas(sure: float) -> None:
    logits, labels = answers(30, sure, 0)
    statistics = membership_statistics(logits, labels)
    assert set(statistics) == ATTACKS - {"all"}
    for index, (row, label) in enumerate(zip(logits.tolist(), labels.tolist(), strict=True)):
        own = {name: values[index].item() for name, values in statistics.items()}
        assert own == pytest.approx(looped(row, label), rel=1e-6)


def test_statistics_of_float32_logits_are_float64() -> None:
    logits, labels = answers(10, 1.0, 0)
    for name, values in membership_statistics(logits.float(), labels).items():
        assert values.dtype == torch.float64
        assert torch.allclose(values, membership_statistics(logits.float().double(), labels)[name], rtol=1e-12)


def test_modified_entropy_is_monotonic_in_the_confidence_of_the_true_class_and_entropy_is_not() -> None:
    logits = torch.tensor([[value, 0.0] for value in (-8.0, -2.0, 0.0, 2.0, 8.0)])
    statistics = membership_statistics(logits, torch.zeros(5, dtype=torch.int64))
    assert statistics["modified_entropy"].diff().max() < 0
    assert statistics["entropy"].diff().max() > 0 > statistics["entropy"].diff().min()


@pytest.mark.parametrize("label", [0, 1])
def test_statistics_of_extreme_logits_are_finite(label: int) -> None:
    logits = torch.tensor([[1000.0, -1000.0, -1000.0], [1000.0, 1000.0, -1000.0]])
    statistics = membership_statistics(logits, torch.tensor([label, label]))
    assert all(values.isfinite().all() for values in statistics.values())
    certain = {name: values[0].item() for name, values in statistics.items()}
    assert certain["entropy"] == 0
    if label == 0:
        assert certain == {"confidence": 1, "entropy": 0, "modified_entropy": 0, "loss": 0}
    else:
        assert certain["loss"] == 2000
        assert certain["modified_entropy"] > 2000


def test_members_of_which_the_model_is_surer_are_found_by_every_attack() -> None:
    found = membership_inference(answers(60, 9.0, 0), answers(60, 0.0, 1), seed=0)
    assert found is not None
    assert set(found) == ATTACKS
    for result in found.values():
        assert result.auc > 95
        assert 0 <= result.low <= result.auc <= result.high <= 100


def test_members_of_which_the_model_is_less_sure_are_found_too() -> None:
    found = membership_inference(answers(60, 0.0, 0), answers(60, 9.0, 1), seed=0)
    assert found is not None
    assert min(result.auc for result in found.values()) > 95


def test_two_samples_of_one_kind_are_a_coin() -> None:
    found = membership_inference(answers(300, 2.0, 0), answers(300, 2.0, 1), seed=0)
    assert found is not None
    for result in found.values():
        assert 0 <= result.low <= 50 <= result.high <= 100
        assert result.high - result.low < 16


@pytest.mark.parametrize(("members", "others"), [(9, 200), (200, 9), (0, 50)])
def test_too_few_of_one_kind_say_nothing(members: int, others: int) -> None:
    assert membership_inference(answers(members, 1.0, 0), answers(others, 0.0, 1), seed=0) is None


@pytest.mark.parametrize(("members", "others"), [(10, 200), (200, 10)])
def test_as_many_of_each_kind_are_used_as_the_smaller_has(members: int, others: int) -> None:
    found = membership_inference(answers(members, 1.0, 0), answers(others, 0.0, 1), seed=0)
    assert found is not None
    for result in found.values():  # two of each kind in each of five folds: their areas are quarters
        assert result.auc / 5 == pytest.approx(round(result.auc / 5))
        assert 0 <= result.low <= result.auc <= result.high <= 100


def test_those_used_are_drawn_from_the_whole_of_the_larger_kind() -> None:
    like_members, unlike = answers(20, 9.0, 1), answers(200, 0.0, 2)
    others = torch.cat([like_members[0], unlike[0]]), torch.cat([like_members[1], unlike[1]])
    found = membership_inference(answers(20, 9.0, 0), others, seed=0)
    assert found is not None
    assert found["loss"].auc > 80


def test_the_same_seed_gives_the_same_numbers_and_another_chooses_other_samples() -> None:
    sides = answers(30, 1.0, 0), answers(200, 0.0, 1)
    first = membership_inference(*sides, seed=0)
    assert first == membership_inference(*sides, seed=0)
    assert first != membership_inference(*sides, seed=1)


def test_an_attack_is_judged_on_samples_it_was_not_fitted_on() -> None:
    random = np.random.default_rng(0)  # more features than samples: any fit separates those it has seen
    assert attack(random.normal(size=(60, 100)), np.repeat([1, 0], 30), 0).auc < 75


def test_a_statistic_that_is_the_same_for_all_is_a_coin() -> None:
    found = attack(np.full((40, 1), 0.1), np.repeat([1, 0], 20), 0)
    assert (found.auc, found.low, found.high) == (50, 50, 50)


def test_the_interval_is_as_wide_as_the_attack_varies_between_samples_of_one_kind() -> None:
    random, is_member = np.random.default_rng(0), np.repeat([1, 0], 20)
    found = [attack(random.normal(size=(40, 1)), is_member, seed) for seed in range(100)]
    claimed = np.mean([one.high - one.low for one in found]) / 2 / 1.96
    assert np.std([one.auc for one in found]) < 1.2 * claimed


def test_the_classifier_is_the_logistic_regression_of_scikit_learn() -> None:
    random, is_member = np.random.default_rng(0), np.repeat([1, 0], 40)
    inputs = (random.normal(size=(80, 4)) + 0.7 * is_member[:, None]) * [1, 100, 0.01, 1] + [0, 5, 1, -3]
    folds, areas = stratified_folds(is_member, 3), []
    for fold in range(FOLDS):
        fitted, held_out = folds != fold, folds == fold
        oracle = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-9, max_iter=10_000))
        scores = oracle.fit(inputs[fitted], is_member[fitted]).decision_function(inputs[held_out])
        areas.append(100 * roc_auc_score(is_member[held_out], scores))
    assert 60 < np.mean(areas) < 95
    assert attack(inputs, is_member, 3).auc == pytest.approx(np.mean(areas))


def test_statistics_that_float32_could_not_tell_apart_are_told_apart() -> None:
    is_member = np.repeat([1, 0], 20)
    nearly_sure = 1 - 1e-12 * (2 - is_member + 0.5 * np.random.default_rng(0).random(40))
    assert attack(nearly_sure[:, None], is_member, 0).auc == 100


@pytest.mark.parametrize("count", [10, 13])
def test_each_fold_holds_out_as_many_members_as_others_and_each_sample_is_held_out_once(count: int) -> None:
    is_member = np.random.default_rng(1).permutation(np.repeat([1, 0], count))
    folds = stratified_folds(is_member, 0)
    members, others = (np.bincount(folds[is_member == kind], minlength=FOLDS) for kind in (1, 0))
    assert members.tolist() == others.tolist()
    assert set(members) <= {count // FOLDS, -(-count // FOLDS)}
    assert folds.tolist() == stratified_folds(is_member, 0).tolist() != stratified_folds(is_member, 1).tolist()
