"""Whether more is left of the erased classes than in a model that never saw them: the rule behind every word.

All values are larger where more is left, a value a seed, in the order of the seeds. docs/metrics.md ("The verdict")
says in words what stands here.
"""

from dataclasses import dataclass
from statistics import mean
from typing import Literal

from unlearning.over_seeds import differ

KEPT = 0.8  # of what the original stands above the untaught model: as much left is "as in the original"
SEES = 2.0  # noise floors that the original must stand above the untaught model: a measure that sees less is blind

Says = Literal["gone", "left", "as before", "unclear", "blind", "no floor"]


@dataclass(frozen=True)
class Values:
    """One measure of one model, beside what it is read by."""

    own: list[float]
    original: list[float]
    untaught: list[float] | None  # the retrained model's; None: nobody trained one
    another: list[float] | None  # the next seed's retrained model's; None with one seed

    @property
    def above(self) -> list[float]:
        """Return how far the model stands above the untaught one."""
        return minus(self.own, self._floor)

    @property
    def whole(self) -> list[float]:
        """Return how far the original stands above the untaught one: what there was to erase."""
        return minus(self.original, self._floor)

    def noise(self, least: float) -> float:
        """Return how far apart two retrained models are, but at least `least`, which alone counts with one seed."""
        if self.another is None:
            return least
        return max(least, mean(map(abs, minus(self.another, self._floor))))

    @property
    def _floor(self) -> list[float]:
        assert self.untaught is not None  # who asks has looked
        return self.untaught


def judge(values: Values, least: float) -> Says:
    """Return what one measure says of one model; least: the smallest difference that counts, in the measure's unit."""
    if values.untaught is None:
        return "no floor"
    noise = values.noise(least)
    if mean(values.whole) < SEES * noise or not confirmed(values.whole, noise):
        return "blind"
    if mean(values.above) <= noise:
        return "gone"
    if not confirmed(values.above, noise):
        return "unclear"
    return "as before" if share_left(values) >= KEPT else "left"


def confirmed(differences: list[float], noise: float) -> bool:
    """Return whether the seeds agree on a difference: above the noise in each, or told from 0 by the paired t-test."""
    if all(difference > noise for difference in differences):
        return True
    return mean(differences) > noise and differ(differences, [0.0] * len(differences))


def share_left(values: Values) -> float:
    """Return how much of what there was to erase is left: 1 = as in the original, 0 = as in the untaught model.

    Infinite where there was nothing to erase.
    """
    whole = mean(values.whole)
    return mean(values.above) / whole if whole > 0 else float("inf")


def minus(first: list[float], second: list[float]) -> list[float]:
    """Return the differences, a value a seed."""
    return [a - b for a, b in zip(first, second, strict=True)]
