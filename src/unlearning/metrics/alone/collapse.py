"""Collapse diagnostics: whether features of a set still differ from one another at all.

Direction: none is better in itself; far below the original's means that the network maps the set to (nearly) one point
or line, which makes CKA fall to 0 without any finer forgetting. Range: effective rank 1..d (0 for constant features);
variance and logit norm >= 0, in the features' own units; relative variance 0..1. Data: penultimate features and logits
of the test forget and the test retain set. Source: Roy and Vetterli 2007 (effective rank); the OPC paper's reviews
asked for them. Expected: retrained like original on the retain set, somewhat lower on the forget set.
"""

from torch import Tensor

from unlearning.metrics.alone.blocks import mean_of_samples, summed
from unlearning.symmetric import eigvalsh

Diagnostics = dict[str, float]


def collapse_diagnostics(features: Tensor, logits: Tensor) -> Diagnostics:
    """Return effective rank, variance, relative variance and mean logit norm of one set.

    features (n, d), logits (n, classes), n >= 1.
    """
    variance, relative = feature_variance(features)
    return {
        "effective_rank": effective_rank(features),
        "variance": variance,
        "relative_variance": relative,
        "logit_norm": logits.double().norm(dim=1).mean().item(),
    }


def spread(diagnostics: dict[str, Diagnostics]) -> float:
    """Return the variance of the forget set over the retain set's under one model; 0 where the latter is 0."""
    retain = diagnostics["retain"]["variance"]
    return diagnostics["forget"]["variance"] / retain if retain else 0.0


def effective_rank(features: Tensor) -> float:
    """Return exp(entropy of the normalised singular values of the centred features): how many directions they use.

    features (n, d). Between 1 and min(n - 1, d); 0 where all samples are equal.
    """
    # Eigenvalues of the smaller Gram matrix: as good as singular values here, and quick for many samples.
    singular = eigvalsh(_smaller_gram(features)).clamp(min=0).sqrt()
    scale = _sum_of_squares(features).sqrt()
    singular = singular[singular > 1e-7 * scale]  # the rest is rounding of float32 features
    if not len(singular):
        return 0.0
    shares = singular / singular.sum()
    return (-(shares * shares.log()).sum()).exp().item()


def feature_variance(features: Tensor) -> tuple[float, float]:
    """Return (total variance, its share of the mean squared norm); the share is 0 for one point, 1 for mean zero."""
    middle = mean_of_samples(features)
    away = summed(len(features), lambda rows: (features[rows].double() - middle).square().sum(dim=0))
    variance = (away / len(features)).sum().item()
    power = (_sum_of_squares(features) / len(features)).item()
    return variance, variance / power if power else 0.0


def _smaller_gram(features: Tensor) -> Tensor:
    """Return the products of the centred samples with each other, or of the dimensions where these are not more."""
    middle = mean_of_samples(features)

    def centred(rows: slice) -> Tensor:
        return features[rows].double() - middle

    if len(features) < features.shape[1]:
        return centred(slice(None)) @ centred(slice(None)).T
    return summed(len(features), lambda rows: centred(rows).T @ centred(rows))


def _sum_of_squares(features: Tensor) -> Tensor:
    return summed(len(features), lambda rows: features[rows].double().square().sum())
