"""Area under the ROC curve with a confidence interval: how the membership attacks are scored.

Direction: for an attack 50 is best. Range: 0..100 percent. Data: scores of two kinds of samples. Source: DeLong et al.
1988. Expected: 50 where the two kinds do not differ.
"""

from dataclasses import dataclass

import numpy as np

NORMAL_95 = 1.959963984540054  # two-sided 95 % point of the normal distribution


@dataclass(frozen=True)
class AUC:
    """Area under the ROC curve in percent, with its 95 % confidence interval."""

    auc: float
    low: float
    high: float


def auc_and_variance(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Return the area under the ROC curve (0..1) and its variance by DeLong: scores of both kinds, two or more each."""
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left")
    placed = (below + np.searchsorted(order, positive, "right")) / 2 / len(negative)  # of each positive, ties half
    order = np.sort(positive)
    above = len(positive) - np.searchsorted(order, negative, "right")
    beaten = (above + len(positive) - np.searchsorted(order, negative, "left")) / 2 / len(positive)
    variance = placed.var(ddof=1) / len(positive) + beaten.var(ddof=1) / len(negative)
    return float(placed.mean()), float(variance)


def interval(area: float, variance: float) -> AUC:
    """Return an AUC in percent with its normal 95 % interval, cut at 0 and 100."""
    reach = NORMAL_95 * variance**0.5
    return AUC(100 * area, max(0.0, 100 * (area - reach)), min(100.0, 100 * (area + reach)))
