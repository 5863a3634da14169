"""What the stages before `compare` wrote, read from its files: the one place where raw files are read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from unlearning.comparison.evidence import Evidence, Raw, Shadow
from unlearning.errors import InputError
from unlearning.evaluation.shared import Sample, load_sample, load_shared


@dataclass(frozen=True)
class Measured:
    """How to read what was measured of a model in one seed: its numbers alone, or with the large features."""

    raw: Callable[[str, int], Raw]
    evidence: Callable[[str, int], Evidence]


def of_this_request(sets: list[str]) -> Measured:
    """Return how to read what was measured on the classes, or samples, to forget; sets: downstream, by name."""
    return Measured(read_raw, lambda name, seed: read_evidence(name, seed, sets))


def of_earlier_requests() -> Measured:
    """Return how to read what was measured on the classes erased before; it has no cost and no k-NN of its own."""
    return Measured(lambda name, seed: read_raw(name, seed)["earlier"], read_earlier)


def read_evidence(name: str, seed: int, sets: list[str]) -> Evidence:
    """Return what was measured of a model; raises InputError naming a file that is missing or of another form."""
    raw = read_raw(name, seed)
    shared = load_shared(features_path(name, seed), raw["layers"])
    transfer = {one: float(of_seed(Path(f"metrics/transfer/{one}/{name}.json"), seed)["knn_acc"]) for one in sets}
    return Evidence(raw, shared, of_seed(Path(f"metrics/cost/{name}.json"), seed), transfer)


def read_earlier(name: str, seed: int) -> Evidence:
    """Return what was measured of a model on the classes erased before; raises InputError like the above."""
    raw = read_raw(name, seed)["earlier"]
    return Evidence(raw, load_shared(Path(f"metrics/features/{name}/earlier/{seed}.safetensors"), raw["layers"]), {})


def read_sample(name: str, seed: int) -> Sample:
    """Return the features of a sample of the test split, which pictures are of; raises InputError like the above."""
    return load_sample(features_path(name, seed))


def read_shadow(number: int) -> Shadow:
    """Return what a shadow model says; raises InputError when there is none of this number."""
    path = Path(f"metrics/shadows/{number}.safetensors")
    if not path.is_file():
        raise InputError(f"{path} not found; run `dvc repro`, which trains the shadow models of lira.shadows first")
    return Shadow(**load_file(path))


def read_raw(name: str, seed: int) -> Raw:
    """Return the numbers that were measured of a model; raises InputError like the above."""
    return of_seed(Path(f"metrics/raw/{name}.json"), seed)


def of_seed(path: Path, seed: int) -> dict[str, Any]:
    """Return what a file of all seeds holds for one; raises InputError when the file or the seed is missing."""
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))[str(seed)]
    except (FileNotFoundError, KeyError):
        raise InputError(f"{path} with seed {seed} not found; run `dvc repro`, which makes it first") from None
    return fields


def features_path(name: str, seed: int) -> Path:
    """Return the path of a model's features."""
    return Path(f"metrics/features/{name}/{seed}.safetensors")
