"""Features whose mutual information with the label is known, and what must not change an estimate of it."""

import math
from statistics import mean

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from unlearning.metrics.alone.cross_fitted import (
    ask_critic,
    critic_views,
    cross_fitted_information,
    deal_folds,
    logistic_weights,
    ridge_scores,
    stacking_weights,
)
from unlearning.metrics.alone.mutual_information import Estimate
from unlearning.params import CrossFitted

LINEAR = CrossFitted(critic="linear", folds=20, rank=256, landmarks=128)
KERNEL = CrossFitted(critic="kernel", folds=5, rank=256, landmarks=128)
SIZES = [(500, 128), (500, 2048), (10000, 128), (10000, 2048)]
DRAWS = {500: 5, 10000: 1}  # the mean log-loss of 500 samples has itself a standard error of about .02 nats
DECAY = 1.5  # the variance of the k-th direction of noise is k^-DECAY: trained layers have few effective dimensions


def estimate(features: Tensor, labels: Tensor, cfg: CrossFitted = LINEAR, trial: int = 0) -> Estimate:
    folds = deal_folds(labels, cfg.folds, 0, trial)
    return cross_fitted_information(critic_views(features, cfg, 0), labels, folds)


def rotated(rows: Tensor, random: torch.Generator) -> Tensor:
    """Mix all dimensions by an orthogonal map, a product of reflections: it changes no information."""
    for _ in range(3):
        normal = torch.nn.functional.normalize(torch.randn(rows.shape[1], generator=random), dim=0)
        rows = rows - 2 * (rows @ normal)[:, None] * normal
    return rows


def embedded(telling: Tensor, d: int, random: torch.Generator, decay: float = DECAY) -> Tensor:
    """Hide the telling columns among noise that is independent of them and of the label, in d dimensions."""
    variances = torch.arange(1, d - telling.shape[1] + 1).float() ** -decay
    noise = torch.randn(len(telling), len(variances), generator=random) * variances.sqrt()
    return rotated(torch.cat([telling, noise], dim=1), random)


def two_means(n: int, d: int, distance: float, seed: int, decay: float = DECAY) -> tuple[Tensor, Tensor]:
    """Gaussians of unit variance, `distance` apart along one direction."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    telling = torch.randn(n, 1, generator=random) + distance * (labels[:, None] - 0.5)
    return embedded(telling, d, random, decay), labels


def information_of_two_means(distance: float) -> float:
    """log 2 - E log(1 + exp(-distance u)), u ~ N(distance / 2, 1), by the rectangle rule."""
    u = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    density = torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)
    return math.log(2) - float((density * softplus(-distance * (u + distance / 2))).sum() * (u[1] - u[0]))


def close(value: float, truth: float) -> bool:
    return abs(value - truth) < max(0.02, 0.1 * truth)


@pytest.mark.parametrize(("n", "d"), SIZES)
@pytest.mark.parametrize("distance", [0.0, 1.0, 1.8, 3.1, 6.0])  # 0, .11, .29, .54, .69 nats
def test_two_gaussians(n: int, d: int, distance: float) -> None:
    values = [estimate(*two_means(n, d, distance, seed)).held_out for seed in range(DRAWS[n])]
    assert close(mean(values), information_of_two_means(distance))
    assert max(values) < information_of_two_means(distance) + 0.04


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_discrete_codes(n: int, d: int) -> None:
    given = torch.tensor([[8, 4, 2, 1, 1, 0], [1, 1, 2, 4, 4, 4]]) / 16  # p(code | label)
    middle = given.mean(dim=0)
    truth = float(torch.special.xlogy(given, given / middle).sum() / 2)
    values = []
    for seed in range(DRAWS[n]):
        random = torch.Generator().manual_seed(seed)
        labels = torch.arange(n) % 2
        codes = torch.multinomial(given[labels], 1, generator=random)[:, 0]
        values.append(estimate(torch.randn(6, d, generator=random)[codes], labels).held_out)
    assert close(mean(values), truth)


@pytest.mark.parametrize(("n", "d"), [(500, 128), (10000, 128)])
def test_the_kernel_finds_what_differs_in_spread_alone_and_the_linear_critic_does_not(n: int, d: int) -> None:
    wide, k = 2.0, 4
    values, blind = [], []
    for seed in range(DRAWS[n]):
        random = torch.Generator().manual_seed(seed)
        labels = torch.arange(n) % 2
        telling = torch.randn(n, k, generator=random) * torch.where(labels == 1, wide, 1.0)[:, None]
        features = embedded(telling, d, random)
        values.append(estimate(features, labels, KERNEL).held_out)
        blind.append(estimate(features, labels).held_out)
    # log p_1/p_0 = r^2 (1 - 1/wide^2) / 2 - k log wide, and r^2 is chi-squared: the mean over a million draws
    draws = torch.randn(500000, k, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).square().sum(dim=1)
    odds = [r2 * (1 - wide**-2) / 2 - k * math.log(wide) for r2 in (draws, draws * wide**2)]
    truth = math.log(2) - float((softplus(odds[0]).mean() + softplus(-odds[1]).mean()) / 2)
    assert abs(mean(values) - truth) < (0.06 if n == 500 else 0.03)
    assert mean(blind) < 0.01


def test_flat_noise_in_more_dimensions_than_samples_hides_information_and_invents_none() -> None:
    """500 samples do not show which of 2048 equal directions tells .29 nats: a lower bound stays below the truth."""
    value = estimate(*two_means(500, 2048, 1.8, seed=0, decay=0.0)).held_out
    assert 0 <= value < information_of_two_means(1.8)
    assert estimate(*two_means(500, 2048, 0.0, seed=0, decay=0.0)).held_out < 0.01


@pytest.mark.parametrize("cfg", [LINEAR, KERNEL])
def test_no_information_is_none_in_every_draw(cfg: CrossFitted) -> None:
    values = [estimate(*two_means(500, 128, 0.0, seed), cfg).held_out for seed in range(10)]
    assert 0 <= min(values) <= max(values) < 0.02


@pytest.mark.parametrize("cfg", [LINEAR, KERNEL])
def test_unit_rotation_and_shift_of_the_features_do_not_matter(cfg: CrossFitted) -> None:
    features, labels = two_means(500, 64, 1.8, seed=0)
    value = estimate(features, labels, cfg).held_out
    other = rotated(features, torch.Generator().manual_seed(9))
    for changed in (1000 * features, 0.001 * features, other, features + 5):
        assert estimate(changed, labels, cfg).held_out == pytest.approx(value, abs=0.003)


def test_order_of_the_samples_and_name_of_the_labels_matter_no_more_than_the_deal_into_folds() -> None:
    features, labels = two_means(500, 64, 1.8, seed=0)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    values = [estimate(features, labels, trial=trial).held_out for trial in range(3)]
    values += [estimate(features[order], labels[order]).held_out, estimate(features, 1 - labels).held_out]
    assert max(values) - min(values) < 0.02


def test_equal_features_tell_nothing() -> None:
    assert estimate(torch.full((40, 8), 3.0), torch.arange(40) % 2) == Estimate(0.0, 0.0)


@pytest.mark.parametrize("cfg", [LINEAR, KERNEL])
def test_dead_units_of_next_to_nothing_change_nothing_and_break_nothing(cfg: CrossFitted) -> None:
    features, labels = two_means(200, 16, 2.0, seed=0)
    dead = torch.randn(200, 60, generator=torch.Generator().manual_seed(1)) * 10.0 ** -torch.linspace(15, 42, 60)
    beside = estimate(torch.cat([features, dead], dim=1), labels, cfg)
    assert beside.held_out == pytest.approx(estimate(features, labels, cfg).held_out, abs=0.0001)


@pytest.mark.parametrize("cfg", [LINEAR, KERNEL])
def test_a_sample_has_no_part_in_its_own_prediction(cfg: CrossFitted) -> None:
    features, labels = two_means(200, 16, 2.0, seed=0)
    views, asked = critic_views(features, cfg, 0), deal_folds(labels, 4, 0, 0) == 0
    lies = torch.where(asked, 1 - labels, labels)
    for honest, told_lies in zip(ask_critic(views, labels, asked), ask_critic(views, lies, asked), strict=True):
        assert torch.equal(honest, told_lies)
    others = torch.where(asked, labels, 1 - labels)
    assert not torch.equal(ask_critic(views, labels, asked)[0], ask_critic(views, others, asked)[0])


def test_folds_have_the_label_frequencies_of_the_whole_and_change_with_the_trial() -> None:
    labels = torch.tensor([0] * 30 + [1] * 20)
    folds = deal_folds(labels, 5, seed=0, trial=0)
    assert [(int((labels[folds == k] == 0).sum()), int(labels[folds == k].sum())) for k in range(5)] == [(6, 4)] * 5
    assert torch.equal(folds, deal_folds(labels, 5, seed=0, trial=0))
    assert not torch.equal(folds, deal_folds(labels, 5, seed=0, trial=1))


def test_left_out_scores_are_those_of_regressions_without_the_sample() -> None:
    features, labels = two_means(40, 6, 1.0, seed=0)
    found = ridge_scores(features, labels, features[:1])
    signs = 2 * labels.double() - 1
    rows = features.double() - features.double().mean(dim=0)
    total = rows.square().sum()
    errors, predictions = [], []
    for power in range(-6, 2):
        said = []
        for i in range(40):
            others = torch.arange(40) != i
            x = torch.cat([rows[others], torch.ones(39, 1, dtype=torch.float64)], dim=1)
            penalty = torch.diag(torch.tensor([*[10.0**power * total] * 6, 0.0], dtype=torch.float64))
            weights = torch.linalg.solve(x.T @ x + penalty, x.T @ signs[others])
            said.append(rows[i] @ weights[:-1] + weights[-1])
        predictions.append(torch.stack(said))
        errors.append(float((signs - predictions[-1]).square().mean()))
    best = predictions[errors.index(min(errors))]
    assert torch.allclose(found.left_out, best, atol=0.0001)


def test_stacking_weights_are_the_logistic_ones_but_never_negative() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    good = torch.randn(200, dtype=torch.float64, generator=random) + labels
    table = torch.stack([good, -good + torch.randn(200, dtype=torch.float64, generator=random)], dim=1)
    weights = stacking_weights(table, labels)
    assert (weights[:-1] >= 0).all()
    assert weights[0] > 0
    against = stacking_weights(-good[:, None], labels)
    assert against[0] == 0
    assert against[-1] == pytest.approx(0, abs=1e-9)


def test_logistic_weights_are_where_the_gradient_is_0() -> None:
    features, labels = two_means(100, 3, 1.0, seed=0)
    rows = torch.cat([features.double(), torch.ones(100, 1, dtype=torch.float64)], dim=1)
    weights = logistic_weights(features, labels)
    gradient = rows.T @ (torch.sigmoid(rows @ weights) - labels) + 0.01 * weights
    assert gradient.abs().max() < 0.05
