"""RMIA, the relative membership attack, offline: is the model surer of an image than of other images of its classes?

Direction: 50 is best. Range: 0..100 percent, AUC with a 95 % interval. Data: the true class's probability for forget
images, training against test, under the model and under shadow models trained without the image; the population is the
test forget images. Source: Zarifzadeh et al. 2024 (arXiv 2312.03262), offline variant, and its released code (Privacy
Meter); there the population is of all classes. Here it cannot be: a model that forgot gives every forget image less
than every retained one, so all scores would be 0. Expected: original above 50, retrained 50. Off by default, as LiRA.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def rmia_scores(
    target: Tensor, shadows: Tensor, out: Tensor, is_population: Tensor, gamma: float, offline_a: float
) -> Tensor:
    """Return the share of the population that each sample's likelihood ratio beats by gamma, float64 (n,) in 0..1.

    With LR(x) = p_target(x) / p(x), the share of samples z with LR(x) / LR(z) above gamma. The paper says "at least",
    its code "above": equal counts half, so that a sample that is of the population itself gains and loses nothing.

    target (n,), shadows (S, n): scaled logits; out (S, n): True where the shadow model was trained without the sample;
    is_population: bool (n,), at least one. Raises ValueError for a sample that every shadow model saw.
    """
    ratio = F.logsigmoid(target.double()) - log_reference(shadows, out, offline_a)
    margin = ratio[:, None] - ratio[is_population] - math.log(gamma)
    return (margin > 0).double().mean(dim=1) + (margin == 0).double().mean(dim=1) / 2


def log_reference(shadows: Tensor, out: Tensor, offline_a: float) -> Tensor:
    """Return log p(x), p(x) = ((1 + a) p_out(x) + 1 - a) / 2, float64 (n,): p_out is the mean over the OUT models.

    What models that saw the sample would say is not known offline; it is taken to be a p_out(x) + 1 - a.

    shadows (S, n): scaled logits; out (S, n). Raises ValueError for a sample that every shadow model saw.
    """
    unseen = out.sum(dim=0)
    if (unseen == 0).any():
        raise ValueError("RMIA needs, for each sample, a shadow model trained without it")
    log_p = F.logsigmoid(shadows.double()).masked_fill(~out, -math.inf)
    log_p_out = log_p.logsumexp(dim=0) - unseen.log()
    # Logarithms throughout: of images well forgotten p is too small for a float.
    rest = torch.full_like(log_p_out, (1 - offline_a) / 2).log()
    return torch.logaddexp(log_p_out + math.log((1 + offline_a) / 2), rest)
