"""Distance to the retrained model in units of the noise floor: of how far two retrained models are apart."""

from collections.abc import Mapping
from typing import Any

from unlearning.figures.table import Column, markdown_table
from unlearning.over_seeds import Summary
from unlearning.params import ANOTHER

Models = Mapping[str, Summary]
SHOWN: dict[str, Column] = {  # distances to the retrained model of the same seed, 0 for itself
    "retrain_gap": Column("gap to retrained", 1),
    "js_divergence": Column("JS", 1),
    "idi_abs": Column("IDI abs", 1),
    "cka_retrained": Column("100 - CKA to retrained", 1),
    "linear_probe": Column("linear probe", 1),
    "head_recovery": Column("head recovery", 1),
}
INTRODUCTION = (
    "Each number is a distance to the retrained model over that of *another* retrained model (the next seed's): 1 is "
    "as near as one retraining is to the other, and nothing can be said to be nearer; up to 1 in bold."
)
NO_RETRAINED = (
    "There is no retrained model (`references:` of params.yaml): IDI, the gaps, the JS divergence and the noise floor "
    "need one and are left out, and H-Mean is over the other scores. What attacks give back says most beside the "
    "original's row.\n"
)
SHORT_RUN = (
    "What attacks give back in `short_run`, a network trained on the retained classes alone for a share of the epochs, "
    "is their floor: what comes back beyond its row was remembered or is better features (docs/short_run.md).\n"
)
ONE_SEED = "With one seed there is no other retrained model: give `seeds:` two or more.\n"


def floor_table(models: Models) -> str:
    """Return the table with its introduction; a sentence where there is one seed, or no retrained model."""
    if "retrained" not in models:
        return NO_RETRAINED + (f"\n{SHORT_RUN}" if "short_run" in models else "")
    if ANOTHER not in models:
        return ONE_SEED
    unit, others = apart(models)
    rows = {
        name: {key: _ratio(value, unit.get(key, 0.0)) for key, value in own.items()} for name, own in others.items()
    }
    return f"{INTRODUCTION}\n\n{markdown_table(rows, SHOWN)}\n{within(models)}\n"


def within(models: Models) -> str:
    """Return one sentence: which models lie within the noise floor in every distance."""
    unit, others = apart(models)
    inside = [
        name for name, own in others.items() if all(value <= unit[key] for key, value in own.items() if key in unit)
    ]
    return f"Within the noise floor in every column: {', '.join(inside) or 'none'}."


def apart(models: Models) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the distances of the other retrained model, which are the units, and those of each further model."""
    others = {name: distances(one) for name, one in models.items() if name not in ("retrained", "short_run", ANOTHER)}
    return distances(models[ANOTHER]), others


def distances(one: Summary) -> dict[str, float]:
    """Return the mean over the seeds of each distance to the retrained model that the model has."""
    return {key: sum(values) / len(values) for key, values in distances_of_seeds(one).items()}


def distances_of_seeds(one: Summary) -> dict[str, list[float]]:
    """Return a value a seed of each distance to the retrained model that the model has in every seed."""
    of_seeds = [_of_seed(seed) for seed in one.details["seeds"].values()]
    return {key: [seed[key] for seed in of_seeds] for key in SHOWN if all(key in seed for seed in of_seeds)}


def _of_seed(seed: Mapping[str, Any]) -> dict[str, float]:
    metrics = seed["metrics"]
    found: dict[str, float | None] = {key: metrics.get(key) for key in ("retrain_gap", "idi_abs")}
    last = list(seed["cka_retrained"].values())[-1]
    found |= {"cka_retrained": None if last is None else 100 - last, "js_divergence": seed.get("js_divergence")}
    found |= {key: _size(seed[key]["gap"]) for key in ("linear_probe", "head_recovery")}
    return {key: value for key, value in found.items() if value is not None}


def _size(gap: float | None) -> float | None:
    return None if gap is None else abs(gap)


def _ratio(value: float, unit: float) -> str | None:
    if unit == 0:
        return None
    text = f"{value / unit:.1f}"
    return f"**{text}**" if value <= unit else text
