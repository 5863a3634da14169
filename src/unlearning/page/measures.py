"""The numbers that the verdict reads: where each lies in the details of a seed, and what it can speak for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from unlearning.over_seeds import Summary
from unlearning.page.judging import Says, Values, judge, share_left

Seed = Mapping[str, Any]  # one of details["seeds"]
Depth = Literal["features", "attack"]
NOISE_POINTS, NOISE_IDI = 1.0, 0.1  # a difference below it counts for nothing, whatever the noise floor
ALONE_POINTS, ALONE_IDI = 5.0, 0.5  # the same with one seed, where nobody knows the noise floor
CURVES = {"prototype": "prototype", "relearn": "relearned"}
DEPTH_OF_CURVES: dict[str, Depth] = {"prototype": "features", "relearn": "attack"}


@dataclass(frozen=True)
class Measure:
    """One number that is larger where more is left."""

    key: str  # of the column that explains it
    label: str
    depth: Depth
    clears: bool  # whether it exposes a model of untouched features: only then does a low value speak for a model
    read: Callable[[Seed], float | None]
    noise: float = NOISE_POINTS
    alone: float = ALONE_POINTS
    decimals: int = 1
    needs_retrained: bool = False  # a short run cannot stand in: it says nothing of a retrained model's features

    def least(self, seeds: int) -> float:
        """Return the smallest difference that counts with so many seeds."""
        return self.noise if seeds > 1 else self.alone


@dataclass(frozen=True)
class Reading:
    """What one measure found of one model."""

    measure: Measure
    values: Values
    says: Says

    @property
    def share(self) -> float | None:
        """Return what is left of what there was to erase, 0 to 1; None where the measure cannot see it."""
        return None if self.values.untaught is None or self.says == "blind" else share_left(self.values)


@dataclass(frozen=True)
class Beside:
    """What every model is read beside."""

    original: Summary
    untaught: Summary | None  # the retrained model, else a short run, else none
    another: Summary | None  # the noise floor
    stands_in: bool  # the untaught model, if any, is a short run: it can clear a model, but convict none
    controls: tuple[Summary, ...]

    @cached_property
    def able(self) -> frozenset[str]:
        """Return the measures that may clear a model here: those that expose every control of this run."""
        return frozenset(measure.key for measure in measures_of(self.original) if exposes(measure, self))


def measures_of(one: Summary) -> list[Measure]:
    """Return the measures in the order in which they are shown; one for each number of images of an attack."""
    return [*FEATURES, *_curve(one, "prototype"), *_curve(one, "relearn"), *ASKING_THE_HEAD]


def read(measure: Measure, one: Summary, beside: Beside) -> Reading | None:
    """Return what a measure says of a model; None where a seed has no such number."""
    found = _beside_untaught(measure, one, beside)
    convicts = found is not None and found.says in ("left", "as before")
    return replace(found, says="unclear") if found and convicts and beside.stands_in else found


def _beside_untaught(measure: Measure, one: Summary, beside: Beside) -> Reading | None:
    """As if the untaught model were the retrained one; above a short run a model may still be as good as retrained."""
    own, original = values_of(measure, one), values_of(measure, beside.original)
    if own is None or original is None:
        return None
    stands_for = None if beside.stands_in and measure.needs_retrained else beside.untaught
    untaught = values_of(measure, stands_for) if stands_for else None
    another = values_of(measure, beside.another) if beside.another else None
    values = Values(own, original, untaught, another)
    return Reading(measure, values, judge(values, measure.least(len(own))))


def exposes(measure: Measure, beside: Beside) -> bool:
    """Return whether a low value may speak for a model: it exposes every control of this run, in which all is left."""
    found = [_beside_untaught(measure, control, beside) for control in beside.controls]
    return measure.clears and all(one is None or one.says in ("as before", "blind", "no floor") for one in found)


def values_of(measure: Measure, one: Summary) -> list[float] | None:
    """Return a measure's value for each seed; None where one has none."""
    found = [measure.read(seed) for seed in one.details["seeds"].values()]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def _last_cka(seed: Seed) -> float | None:
    """Collapsed features have a low CKA whatever was erased."""
    last: float | None = list(seed["cka_layers"].values())[-1]
    return None if seed["collapsed"] else last


def value_at(*path: str) -> Callable[[Seed], float | None]:
    """Return what reads the number at a path of keys; None where the seed has none."""

    def value(seed: Seed) -> float | None:
        found: Any = seed
        for key in path:
            found = (found or {}).get(key)
        return found

    return value


def _curve(one: Summary, attack: str) -> list[Measure]:
    shots = one.mean[attack]["forget"] or {}
    return [
        Measure(
            f"{attack}.{k}",
            f"{CURVES[attack]}, {k} image{'s' * (k != '1')}",
            DEPTH_OF_CURVES[attack],
            True,
            value_at(attack, "forget", k),
        )
        for k in shots
    ]


FEATURES = (
    Measure("cka", "CKA to the original", "features", True, _last_cka, needs_retrained=True),
    Measure("idi", "IDI", "features", True, value_at("metrics", "idi"), NOISE_IDI, ALONE_IDI, 2, True),
    Measure("linear_probe", "linear probe", "features", True, value_at("linear_probe", "all", "forget")),
    Measure("head_recovery", "head recovery", "features", True, value_at("head_recovery", "forget")),
)
ASKING_THE_HEAD = (  # these stay low in the controls: they can convict a model, and clear none
    Measure("retain_only", "retain images only", "attack", False, value_at("retain_only", "forget")),
    Measure("batchnorm", "BatchNorm", "attack", False, value_at("batchnorm", "forget")),
    Measure("mia_auc", "membership inference, AUC", "attack", False, value_at("membership", "all", "auc")),
    Measure("lira", "LiRA, AUC", "attack", False, value_at("lira", "auc")),
    Measure("rmia", "RMIA, AUC", "attack", False, value_at("rmia", "auc")),
)
