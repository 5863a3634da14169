"""Linear centred kernel alignment: how alike two models' features of the same images are.

Direction: lower is read as deeper forgetting; but collapsed features reach 0 too (see collapse.py). Range: 0..100
percent (`debiased` may fall a little below 0). Data: pooled features of the test forget set. Source: Kornblith et al.
2019; EC B.6 (full set), UUEF (`minibatch`), Song et al. 2012 and Nguyen et al. 2021 (`debiased`). Expected: to the
original, original 100 and retrained well below (86.2 in the paper's Table 1).
"""

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor

from unlearning.metrics.alone.blocks import blocks, joined, mean_of_samples, summed

BATCH = 512  # images, of `minibatch` (UUEF)
PANEL = 256  # columns of X'X computed at once: what lies below its diagonal is not computed twice


class Centred:
    """One model's features for CKA, centred; what depends on them alone is computed once, for all they are set beside.

    features (n, d), of which a block at a time is in float64. The sums over pairs of samples are taken in feature space
    or in sample space, whichever is smaller: d x d or n x n numbers.
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    @property
    def width(self) -> int:
        """Return d."""
        return self.features.shape[1]

    def rows(self, which: slice) -> Tensor:
        """Return a block, float64, of mean 0 over all samples."""
        middle, constant = self._middle
        return self.features[which].to(torch.float64, copy=True).sub_(middle).masked_fill_(constant, 0.0)

    def parts(self) -> Iterator[Tensor]:
        """Yield all blocks in order."""
        return map(self.rows, blocks(len(self)))

    @cached_property
    def _middle(self) -> tuple[Tensor, Tensor]:
        """The mean, and which dimensions are equal in all samples up to float32: their differences are rounding."""
        middle = mean_of_samples(self.features)
        low, high = (extreme.to(torch.float64) for extreme in self.features.aminmax(dim=0))
        away = torch.maximum((low - middle).abs(), (high - middle).abs())
        return middle, away <= torch.finfo(torch.float32).eps * torch.maximum(low.abs(), high.abs())

    @cached_property
    def gram(self) -> Tensor:
        """XX', (n, n): for fewer samples than dimensions."""
        centred = self.rows(slice(None))
        return centred @ centred.T

    @cached_property
    def own_product(self) -> Tensor:
        """||X'X||^2."""
        if self.width > len(self):
            return self.gram.square().sum()
        return sum((_square_of_symmetric(panel) for panel in self._panels()), torch.zeros((), dtype=torch.float64))

    def _panels(self) -> list[Tensor]:
        """Return X'X by panels of its rows, from the diagonal on."""
        panels = list(blocks(self.width, PANEL))
        products = [torch.zeros(one.stop - one.start, self.width - one.start, dtype=torch.float64) for one in panels]
        for part in self.parts():
            for panel, product in zip(panels, products, strict=True):
                product.addmm_(part[:, panel].T, part[:, panel.start :])
        return products

    @cached_property
    def lengths(self) -> Tensor:
        """The squared length of each sample, (n,)."""
        return joined(len(self), lambda rows: self.rows(rows).square().sum(dim=1))

    @cached_property
    def other_samples(self) -> Tensor:
        """Each sample's products with all others, summed, (n,)."""
        total = summed(len(self), lambda rows: self.rows(rows).sum(dim=0))
        return joined(len(self), lambda rows: self.rows(rows) @ total) - self.lengths


Features = Tensor | Centred


def centred(features: Features) -> Centred:
    """Return features as CKA takes them; those that are so already stay."""
    return features if isinstance(features, Centred) else Centred(features)


def linear_cka(x: Features, y: Features) -> float:
    """Return linear CKA in percent: ||Yc'Xc||^2 / (||Xc'Xc|| ||Yc'Yc||), Frobenius norms, biased HSIC.

    x (n, d1) and y (n, d2): features of the same n samples under two models. Unchanged by rotation and scale. 0 where
    one model maps all samples to one point. Raises ValueError for fewer than two samples or unequal numbers.
    """
    one, other = _checked(x, y, LEAST["full"])
    return _full(one, other, _product(one, other))


def minibatch_cka(x: Features, y: Features, batch_size: int = BATCH) -> float:
    """Return the mean of `linear_cka` over batches in the given order, in percent, as UUEF computes it.

    Higher than the full set's where a batch has fewer samples than dimensions. A last batch of one sample is left out.
    """
    one, other = _checked(x, y, LEAST["minibatch"])
    pairs = zip(one.features.split(batch_size), other.features.split(batch_size), strict=True)
    values = [linear_cka(part_x, part_y) for part_x, part_y in pairs if len(part_x) > 1]
    return sum(values) / len(values)


def debiased_cka(x: Features, y: Features) -> float:
    """Return CKA of unbiased HSIC estimates (Song et al. 2012), in percent: near 0 for independent features at any n.

    Raises ValueError for fewer than four samples or unequal numbers.
    """
    one, other = _checked(x, y, LEAST["debiased"])
    return _debiased(one, other, _product(one, other))


ESTIMATORS: dict[str, Callable[[Features, Features], float]] = {
    "full": linear_cka,
    "minibatch": minibatch_cka,
    "debiased": debiased_cka,
}
LEAST = {"full": 2, "minibatch": 2, "debiased": 4}  # samples that each needs


def cka_or_none(estimator: str, x: Features, y: Features) -> float | None:
    """Return CKA by one estimator, in percent; None for fewer samples than it needs."""
    return ESTIMATORS[estimator](x, y) if min(len(x), len(y)) >= LEAST[estimator] else None


def cka_by_all(x: Features, y: Features) -> dict[str, float | None]:
    """Return CKA by every estimator, in percent, None as above: two of them have the costly product in common."""
    if min(len(x), len(y)) < LEAST["debiased"]:
        return {name: cka_or_none(name, x, y) for name in ESTIMATORS}
    one, other = _checked(x, y, LEAST["debiased"])
    product = _product(one, other)
    return {
        "full": _full(one, other, product),
        "minibatch": minibatch_cka(one, other),
        "debiased": _debiased(one, other, product),
    }


def _product(x: Centred, y: Centred) -> Tensor:
    """Return ||Y'X||^2, the sum over all pairs of samples of their products in both."""
    if max(x.width, y.width) > len(x):
        return (x.gram * y.gram).sum()
    return summed(len(x), lambda rows: y.rows(rows).T @ x.rows(rows)).square().sum()


def _full(x: Centred, y: Centred, product: Tensor) -> float:
    return _ratio(product, x.own_product.sqrt(), y.own_product.sqrt())


def _debiased(x: Centred, y: Centred, product: Tensor) -> float:
    return _ratio(_unbiased_hsic(x, y, product), _unbiased_norm(x), _unbiased_norm(y))


def _unbiased_hsic(x: Centred, y: Centred, product: Tensor) -> Tensor:
    """Return HSIC_1 times n (n - 3) for the kernels xx' and yy' without their diagonals."""
    n = len(x)
    trace = product - x.lengths @ y.lengths
    ends = x.other_samples.sum() * y.other_samples.sum() / ((n - 1) * (n - 2))
    return trace + ends - 2 * (x.other_samples @ y.other_samples) / (n - 2)


def _unbiased_norm(x: Centred) -> Tensor:
    """Return the square root of a model's own HSIC, 0 where that is 0 but for rounding or below."""
    own = _unbiased_hsic(x, x, x.own_product)
    rounding = 1e-12 * x.lengths.sum().square()
    return torch.where(own > rounding, own, torch.zeros_like(own)).sqrt()


def _ratio(shared: Tensor, norm_x: Tensor, norm_y: Tensor) -> float:
    return 0.0 if norm_x == 0 or norm_y == 0 else (100 * shared / (norm_x * norm_y)).item()


def _checked(x: Features, y: Features, least: int) -> tuple[Centred, Centred]:
    if len(x) != len(y) or len(x) < least:
        raise ValueError(f"CKA needs features of the same {least} or more samples twice, not {len(x)} and {len(y)}")
    return centred(x), centred(y)


def _square_of_symmetric(panel: Tensor) -> Tensor:
    """Return what a panel of X'X, from the diagonal on, has part in its squared norm: what is beyond counts twice."""
    within = len(panel)
    return panel[:, :within].square().sum() + 2 * panel[:, within:].square().sum()
