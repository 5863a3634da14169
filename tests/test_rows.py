"""The rows of the table: a seed and a row at a time, each beside the references of its own seed."""

import gc
import hashlib
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import values_of_params
from tests.test_comparison import MANIFEST, evidence_of
from unlearning.comparison.evidence import Evidence
from unlearning.comparison.measured import Measured, of_this_request, read_sample
from unlearning.comparison.model import compare_model
from unlearning.comparison.rows import compare_rows
from unlearning.comparison.yardstick import yardstick
from unlearning.errors import InputError
from unlearning.evaluation.shared import save_shared
from unlearning.files import sha256_of, write_json
from unlearning.params import Params, rows_of
from unlearning.records.cost import cost_record
from unlearning.records.measured import measured_record

SEEDS = [3, 1, 7]


def params_of(rows: int) -> Params:
    values = values_of_params()
    values |= {"seeds": SEEDS, "methods": dict(list(values["methods"].items())[:rows])}
    values["headline"] = next(iter(values["methods"]))
    values["figures"]["models"] = []
    return Params.model_validate({key: values[key] for key in Params.model_fields})


def evidence(name: str, seed: int) -> Evidence:
    """Return what was measured of a model in a seed: other features and numbers for each."""
    nats = {"original": (0.5, 0.6), "retrained": (0.3, 0.3)}.get(name, (0.4, 0.2))
    one = evidence_of(4 * SEEDS.index(seed) + len(name) % 4, nats)  # larger ones make percent beyond 100
    return replace(one, cost=one.cost | {"peak_memory_gb": 0.5, "device": "CPU", "precision": "fp32", "processes": 1})


class Watched:
    """Gives evidence, and counts how much of it is held at once."""

    def __init__(self) -> None:
        self.held: list[weakref.ref[Any]] = []
        self.most = 0

    def raw(self, name: str, seed: int) -> dict[str, Any]:
        return evidence(name, seed).raw

    def read(self, name: str, seed: int) -> Evidence:
        one = evidence(name, seed)
        gc.collect()
        self.held.append(weakref.ref(one.shared))
        self.most = max(self.most, sum(held() is not None for held in self.held))
        return one


@pytest.mark.parametrize("rows", [1, 12])
def test_features_of_one_seed_s_references_and_of_one_row_are_held_however_many_rows_there_are(rows: int) -> None:
    watched, params = Watched(), params_of(rows)
    found = compare_rows(params, MANIFEST, Measured(watched.raw, watched.read), [])
    assert list(found) == rows_of(params)
    assert watched.most == len(params.references) + 1


def test_each_row_is_set_beside_the_references_of_its_seed_and_the_noise_floor_is_of_the_next() -> None:
    params = params_of(2)
    found = compare_rows(params, MANIFEST, Measured(Watched().raw, evidence), [])
    for seed, following in zip(SEEDS, [1, 7, 3], strict=True):
        references = {name: evidence(name, seed) for name in params.references}
        beside = yardstick(references, MANIFEST, params.idi, params.cka, params.rmia, [], {})
        sources = {name: (name, seed) for name in found} | {"another_retrained": ("retrained", following)}
        for name, (source, of_seed) in sources.items():
            alone = compare_model(evidence(source, of_seed), beside)
            assert found[name].details["seeds"][str(seed)] == {"metrics": alone.metrics, **alone.details}


def test_what_one_seed_leaves_undefined_is_left_out_of_every_row_and_of_all_seeds() -> None:
    def vague(name: str, seed: int) -> dict[str, Any]:
        return evidence(name if seed != 1 else "retrained", seed).raw

    found = compare_rows(params_of(2), MANIFEST, Measured(vague, evidence), [])
    assert all("idi" not in one.metrics for one in found.values())
    assert all(one.details["notes"][0].startswith("idi is left out; seed 1: ") for one in found.values())


def hash_of(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def of_what(name: str, seed: int, features: Path) -> dict[str, str]:
    """Return the rest of the chain of a model."""
    return {
        "forget": MANIFEST.forget_hash,
        "weights": hash_of("weights", name, seed),
        "original": hash_of("original", seed),
        "features": sha256_of(features),
    }


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Params]:
    """Return a function that writes what was measured of each row into files, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def write() -> Params:
        params = params_of(2)
        for name in rows_of(params):
            raw, cost = {}, {}
            for seed in SEEDS:
                one, path = evidence(name, seed), Path(f"metrics/features/{name}/{seed}.safetensors")
                unseen = one.shared.unseen_positions.clone()  # a file holds no tensor twice
                save_shared(replace(one.shared, unseen_positions=unseen), path)
                chain = {"model": name, "seed": seed, "split": MANIFEST.hash, "checkpoint": hash_of(name, seed)}
                raw[seed] = measured_record(chain | of_what(name, seed, path), one.raw)
                cost[seed] = cost_record(chain, one.cost or None)
            write_json(Path(f"metrics/raw/{name}.json"), raw)
            write_json(Path(f"metrics/cost/{name}.json"), cost)
        return params

    return write


def test_rows_from_files_are_those_from_memory(written: Callable[[], Params]) -> None:
    params = written()
    assert compare_rows(params, MANIFEST, of_this_request([], MANIFEST), []) == compare_rows(
        params, MANIFEST, Measured(Watched().raw, evidence), []
    )


@pytest.mark.parametrize(
    "path", ["metrics/raw/retrained.json", "metrics/cost/original.json", "metrics/features/original/7.safetensors"]
)
def test_a_missing_file_is_named(written: Callable[[], Params], path: str) -> None:
    params = written()
    Path(path).unlink()
    with pytest.raises(InputError, match=path):
        compare_rows(params, MANIFEST, of_this_request([], MANIFEST), [])


def test_pictures_are_of_the_sample_that_was_written(written: Callable[[], Params]) -> None:
    written()
    path = Path("metrics/features/original/3.safetensors")
    digest = sha256_of(path)
    shared, sample = evidence("original", 3).shared, read_sample("original", 3, digest)
    for part in ("test", "test_labels", "test_positions"):
        assert torch.equal(getattr(sample, part), getattr(shared, part))
    path.write_bytes(b"\x08")
    with pytest.raises(InputError, match=r"metrics/features/original/3\.safetensors .*of another model, or damaged"):
        read_sample("original", 3, digest)
