"""What every model of a seed is set beside: the references, the settings, and what cannot be computed."""

from dataclasses import dataclass
from typing import Any

from unlearning.comparison.coming_back import comes_back
from unlearning.comparison.evidence import Evidence, Raw, Shadow, nats_of
from unlearning.data.manifest import Manifest
from unlearning.metrics.beside.cka import Centred, centred
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
    original_layers: dict[str, Centred]  # features as CKA takes them, so that what is theirs is computed once
    retrained_layers: dict[str, Centred]  # empty without a retrained model


def yardstick(
    references: dict[str, Evidence],
    manifest: Manifest,
    idi: IDI,
    cka: CKA,
    rmia: RMIA,
    shadows: list[Shadow],
    undefined: dict[str, str],
) -> Yardstick:
    """Return what every model of a seed is set beside, with what is computed once for all of them.

    references: of that seed, by name, the original among them. Without a retrained model everything that needs one is
    left out. undefined: {number that is left out: why}.
    """
    original, retrained = references["original"], references.get("retrained")
    untaught = retrained or references.get("short_run")
    floor = comes_back(untaught, original) if untaught else {}
    layers = (layers_of(original), layers_of(retrained) if retrained else {})
    return Yardstick(original, retrained, floor, manifest, idi, cka, rmia, shadows, undefined, *layers)


def layers_of(evidence: Evidence) -> dict[str, Centred]:
    """Return a model's features, by layer, as CKA takes them."""
    return {layer: centred(values) for layer, values in evidence.shared.layers.items()}


def alike(of_seeds: dict[int, dict[str, str]]) -> dict[str, str]:
    """Return {number: why it is left out}: one undefined for one seed is left out for all, as means are over all.

    of_seeds: {seed: {number: why it cannot be computed}}.
    """
    reasons: dict[str, list[str]] = {}
    for seed, undefined in of_seeds.items():
        for key, reason in undefined.items():
            reasons.setdefault(key, []).append(f"seed {seed}: {reason}")
    return {key: f"{key} is left out; {'; '.join(texts)}" for key, texts in reasons.items()}


def undefined_idi(original: Raw, retrained: Raw, cfg: IDI) -> dict[str, str]:
    """Return {"idi": reason} where the original knows hardly more than the retrained model, else nothing."""
    if not original["mutual_information"]:
        return {}
    try:
        first, gold = nats_of(original, cfg.estimate), nats_of(retrained, cfg.estimate)
        information_difference_index(first, first, gold, cfg.floor)
    except Undefined as error:
        return {"idi": str(error)}
    return {}
