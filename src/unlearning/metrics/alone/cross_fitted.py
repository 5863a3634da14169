"""I(Z; Y) from predictions of Y that no sample had a part in for itself: the default estimator; docs/idi.md says why.

Direction: none by itself. Range: 0 nats to H(Y), log 2 for balanced samples. Data: equally many training images of
forget and retain classes, pooled features of a layer. Source: ours; H(Y) minus a classifier's cross-entropy is the
InfoNCE bound for two labels (mutual_information.py). Leave-one-out ridge: Allen 1974 (PRESS); non-negative stacking:
Breiman 1996; landmarks: Williams and Seeger 2001 (Nystrom). Expected: original high, retrained lower.

The samples are dealt into folds; the critic of a fold is fitted on the others. What is fitted without labels (principal
components, landmarks) uses all samples: that leaves the bound valid, because the pairs (z_i, y_i) are independent, so
the other samples' features tell nothing more of y_i.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from unlearning.metrics.alone.mutual_information import Estimate, information_of
from unlearning.params import CrossFitted
from unlearning.seeds import generator
from unlearning.symmetric import eigh

RIDGES = tuple(10.0**power for power in range(-6, 2))  # of the total squared norm: from all to nothing learnt
EXACT = 512  # samples or dimensions up to which principal components are exact; beyond, by subspace iteration
SUBSPACE_STEPS = 3
SUBSPACE_EXTRA = 16  # directions more than asked for: the last ones converge slowly
SURE = 0.99  # a score at +-1 would have infinite log-odds
STACK_L2 = 0.01  # half the squared norm of the stacking weights, against separable samples
NEWTON_STEPS = 30
CONVERGED = 0.0000001  # nats a sample that another step of Newton's could win
ROUNDING = 1e-12  # of the largest component's power: far below what the weakest ridge lets through
SMALLEST = 1e-5  # of the largest eigenvalue of the landmarks' kernel: below, directions are rounding errors

View = Callable[[Tensor, CrossFitted, int], Tensor]


@dataclass(frozen=True)
class Scores:
    """What a ridge regression on the signs of the labels says, at the strength that predicts best when left out."""

    fitted: Tensor  # (m,) of the samples it was fitted on
    left_out: Tensor  # (m,) of the same, each by the regression without it
    new: Tensor  # (k,) of other samples


def critic_views(features: Tensor, cfg: CrossFitted, seed: int) -> list[Tensor]:
    """Return what the critic regresses on, one float32 (n, p) a view; no label is used.

    features (n, d): pooled, in any unit. Neither the unit nor a rotation changes an estimate, beyond rounding.
    """
    components = without_rounding(principal_components(features, cfg.rank, seed))
    return [view(components, cfg, seed) for view in CRITICS[cfg.critic]]


def cross_fitted_information(views: list[Tensor], labels: Tensor, folds: Tensor) -> Estimate:
    """Return the bound from predictions of each sample by a critic fitted on the other folds; nats, >= 0.

    views: (n, p) each; labels (n,) in {0, 1}; folds (n,): number of the fold. `train`: the same critics on the samples
    they were fitted on, mean over the folds.
    """
    log_odds = torch.zeros(len(labels), dtype=torch.float64)
    train = []
    for fold in folds.unique():
        asked = folds == fold
        log_odds[asked], own = ask_critic(views, labels, asked)
        train.append(information_of(own, labels[~asked]))
    return Estimate(max(0.0, information_of(log_odds, labels)), max(0.0, sum(train) / len(train)))


def ask_critic(views: list[Tensor], labels: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-odds of the samples `asked` (bool, (n,)) by a critic fitted on the others, and those of the others.

    The labels of the samples asked are not looked at.
    """
    fitted = ~asked
    scores = [ridge_scores(view[fitted], labels[fitted], view[asked]) for view in views]
    weights = stacking_weights(columns([one.left_out for one in scores]), labels[fitted])
    count = int(fitted.sum())
    new, own = [one.new for one in scores], [one.fitted for one in scores]
    return predict(new, weights, count), predict(own, weights, count)


def deal_folds(labels: Tensor, count: int, seed: int, trial: int) -> Tensor:
    """Return a fold in 0..count-1 for each sample, int64 (n,), each fold with the label frequencies of the whole."""
    folds = torch.empty(len(labels), dtype=torch.int64)
    for label in (0, 1):
        samples = torch.nonzero(labels == label)[:, 0]
        order = samples[torch.randperm(len(samples), generator=generator(seed, "folds", trial, label))]
        folds[order] = torch.arange(len(order)) % count
    return folds


def principal_components(features: Tensor, rank: int, seed: int) -> Tensor:
    """Return the scores (n, at most rank) on the leading components, of mean 0 and mean squared norm at most 1."""
    centred = features.double() - features.double().mean(dim=0)
    norm = centred.square().sum(dim=1).mean().sqrt()
    centred = (centred / norm if norm > 0 else centred).float()
    n, d = centred.shape
    if d <= EXACT:
        _, axes = eigh((centred.T @ centred).double())
        return centred @ axes.flip(1)[:, :rank].float()
    if n <= EXACT:
        values, axes = eigh((centred @ centred.T).double())
        return (axes * values.clamp_min(0).sqrt()).flip(1)[:, :rank].float()
    basis = torch.randn(d, min(rank + SUBSPACE_EXTRA, n, d), generator=generator(seed, "subspace"))
    for _ in range(SUBSPACE_STEPS):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    return principal_components(centred @ basis, rank, seed)


def without_rounding(components: Tensor) -> Tensor:
    """Return the components (n, p) without those of next to no power: dead units leave some of 1e-40.

    In float32 an eigenvalue problem with such numbers among others does not converge.
    """
    power = components.double().square().sum(dim=0)
    return components[:, power >= ROUNDING * power.max()]


def linear_view(components: Tensor, _cfg: CrossFitted, _seed: int) -> Tensor:
    """Return the components themselves: differences of means."""
    return components


def kernel_view(components: Tensor, cfg: CrossFitted, seed: int) -> Tensor:
    """Return features whose products approximate exp(-|z - z'|^2 / median), from landmarks: any other difference."""
    chosen = torch.randperm(len(components), generator=generator(seed, "landmarks"))[: cfg.landmarks]
    distances = torch.cdist(components, components[chosen]).square()
    width = distances.median()
    kernel = torch.exp(-distances / (width if width > 0 else 1))
    values, axes = eigh(kernel[chosen].double())
    kept = values > SMALLEST * values[-1]
    return kernel @ (axes[:, kept] * values[kept].rsqrt()).float()


CRITICS: dict[str, tuple[View, ...]] = {"linear": (linear_view,), "kernel": (linear_view, kernel_view)}


def ridge_scores(view: Tensor, labels: Tensor, new: Tensor) -> Scores:
    """Regress the signs of the labels on a view and return scores around -1 and 1.

    view (m, p), labels (m,) in {0, 1}, new (k, p). Left out, sample i is predicted by y_i - (y_i - f_i) / (1 - h_i), h
    the diagonal of the hat matrix; the ridge is the one of RIDGES with the least left-out squared error.
    """
    mean, signs = view.mean(dim=0), 2 * labels.float() - 1
    offset = signs.mean()
    centred, target = view - mean, (signs - offset)[:, None]
    values, axes = eigh(centred.T @ centred)
    rotated, values = centred @ axes, values.clamp_min(0)[:, None]
    ridges = torch.tensor(RIDGES) * values.sum().clamp_min(torch.finfo(torch.float32).tiny)
    shrunk = 1 / (values + ridges)  # (p, ridges)
    weights = shrunk * (rotated.T @ target)
    fitted = rotated @ weights
    leverage = rotated.square() @ shrunk + 1 / len(view)
    left_out = target - (target - fitted) / (1 - leverage).clamp_min(0.001)
    best = (target - left_out).square().mean(dim=0).argmin()
    said = (fitted[:, best], left_out[:, best], ((new - mean) @ axes) @ weights[:, best])
    return Scores(*(scores.double() + offset for scores in said))


def columns(scores: list[Tensor]) -> Tensor:
    """Return (m, 2 x scores): each score s, and 2 atanh(s).

    Log-odds are linear in s for two Gaussians of one covariance; they are 2 atanh(s) where s is 2 P(Y=1|z) - 1.
    """
    table = torch.stack(scores, dim=1)
    return torch.cat([table, 2 * torch.atanh(table.clamp(-SURE, SURE))], dim=1)


def predict(scores: list[Tensor], weights: Tensor, count: int) -> Tensor:
    """Return log-odds (m,), never beyond 1 : count, what a critic fitted on `count` samples can know of rare errors."""
    limit = math.log(count)
    return (columns(scores) @ weights[:-1] + weights[-1]).clamp(-limit, limit)


def stacking_weights(table: Tensor, labels: Tensor) -> Tensor:
    """Return logistic weights (columns + 1), none of them negative but the last, the intercept.

    A left-out score of noise runs against the labels; a negative weight would read that as information.
    """
    used = list(range(table.shape[1]))
    weights = logistic_weights(table[:, used], labels)
    while used and (weights[:-1] < 0).any():
        used.pop(int(weights[:-1].argmin()))
        weights = logistic_weights(table[:, used], labels)
    full = torch.zeros(table.shape[1] + 1, dtype=torch.float64)
    full[[*used, -1]] = weights
    return full


def logistic_weights(table: Tensor, labels: Tensor) -> Tensor:
    """Return the weights (columns + 1) of a logistic regression with a little L2, by Newton's method; float64."""
    rows = torch.cat([table.double(), torch.ones(len(table), 1, dtype=torch.float64)], dim=1)
    penalty = torch.full((rows.shape[1],), STACK_L2, dtype=torch.float64)
    signs = 2 * labels.double() - 1

    def loss(weights: Tensor) -> Tensor:
        return softplus(-signs * (rows @ weights)).sum() + (penalty * weights.square()).sum() / 2

    weights = torch.zeros(rows.shape[1], dtype=torch.float64)
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(rows @ weights)
        gradient = rows.T @ (p - labels) + penalty * weights
        hessian = (rows * (p * (1 - p))[:, None]).T @ rows + torch.diag(penalty)
        step, size = torch.linalg.solve(hessian, gradient), 1.0
        if float(gradient @ step) < CONVERGED * len(table):
            break
        before = loss(weights)
        while loss(weights - size * step) > before and size > 0.001:
            size /= 2
        weights = weights - size * step
    return weights
