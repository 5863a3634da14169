"""What every model of a seed is set beside: the references, the settings, and what cannot be computed."""

from dataclasses import dataclass, replace
from typing import Any

from unlearning.comparison.coming_back import comes_back
from unlearning.comparison.evidence import Evidence, Shadow, nats_of
from unlearning.data.manifest import Manifest
from unlearning.metrics.beside.idi import Undefined, information_difference_index
from unlearning.params import CKA, IDI, RMIA


@dataclass(frozen=True)
class Yardstick:
    """What every model is set beside."""

    original: Evidence
    retrained: Evidence | None  # None: nobody trained one
    floor: dict[str, Any]  # what attacks give back in the retrained model or, without one, a short run; else empty
    manifest: Manifest
    idi: IDI
    cka: CKA
    rmia: RMIA
    shadows: list[Shadow]
    undefined: dict[str, str]  # {number: why it cannot be computed}


def yardstick(
    references: dict[str, Evidence],
    manifest: Manifest,
    idi: IDI,
    cka: CKA,
    rmia: RMIA,
    shadows: list[Shadow],
) -> Yardstick:
    """Return what every model of a seed is set beside, with what is computed once for all of them.

    references: of that seed, by name, the original among them. Without a retrained model everything that needs one is
    left out.
    """
    original, retrained = references["original"], references.get("retrained")
    undefined = undefined_idi(original, retrained, idi) if retrained else {}
    untaught = retrained or references.get("short_run")
    floor = comes_back(untaught, original) if untaught else {}
    return Yardstick(original, retrained, floor, manifest, idi, cka, rmia, shadows, undefined)


def alike(beside: dict[int, Yardstick]) -> dict[int, Yardstick]:
    """Return the yardsticks so that a number undefined for one seed is left out for all: means are over all seeds."""
    reasons: dict[str, list[str]] = {}
    for seed, one in beside.items():
        for key, reason in one.undefined.items():
            reasons.setdefault(key, []).append(f"seed {seed}: {reason}")
    undefined = {key: f"{key} is left out; {'; '.join(texts)}" for key, texts in reasons.items()}
    return {seed: replace(one, undefined=undefined) for seed, one in beside.items()}


def undefined_idi(original: Evidence, retrained: Evidence, cfg: IDI) -> dict[str, str]:
    """Return {"idi": reason} where the original knows hardly more than the retrained model, else nothing."""
    if not original.raw["mutual_information"]:
        return {}
    try:
        first, gold = nats_of(original, cfg.estimate), nats_of(retrained, cfg.estimate)
        information_difference_index(first, first, gold, cfg.floor)
    except Undefined as error:
        return {"idi": str(error)}
    return {}
