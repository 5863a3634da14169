"""What `compare` reads: records that fit together are read, and whatever does not belong to them is refused."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.damage import BYTES, JSON, assert_noticed
from tests.test_comparison import LAYERS, evidence_of, shared_of
from unlearning.comparison.measured import read_earlier, read_evidence, read_shadow
from unlearning.comparison.origins import chain_of, runs_of
from unlearning.data.manifest import Manifest, save_manifest
from unlearning.engine.curves import write_curves
from unlearning.errors import InputError
from unlearning.evaluation.shared import Shared, save_shared
from unlearning.figures.chain import chain_section
from unlearning.files import sha256_of, write_json
from unlearning.page.curves import read_log
from unlearning.read_back import SEAL, sealed
from unlearning.records.cost import cost_record
from unlearning.records.measured import measured_record
from unlearning.records.transferred import transfer_record
from unlearning.run_record import Recorder, read_run, record_path
from unlearning.sealed_tensors import write_tensors

pytestmark = pytest.mark.chaos
NAMES, SEEDS = ["original", "retrained", "ec", "cu"], [0, 1]
COST = {
    "seconds": 12.5, "steps": 10, "samples": 80, "peak_memory_gb": 0.5, "device": "CPU", "precision": "fp32",
    "processes": 1,
}  # fmt: skip


def hash_of(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def features(seed: int) -> Shared:
    shared = shared_of(seed)
    return replace(shared, unseen_positions=shared.unseen_positions.clone())  # a file holds no tensor twice


@pytest.fixture
def measured(world: Manifest) -> Manifest:
    """Write what the stages before `compare` leave of four models and two seeds; return the manifest."""
    for number, name in enumerate(NAMES):
        raw, cost, transfer = {}, {}, {}
        for seed in SEEDS:
            path = Path(f"metrics/features/{name}/{seed}.safetensors")
            save_shared(features(10 * number + seed), path)
            chain = {
                "model": name, "seed": seed, "split": world.hash, "checkpoint": hash_of("file", name, seed),
            }  # fmt: skip
            of = {
                "forget": world.forget_hash,
                "weights": hash_of("weights", name, seed),
                "original": hash_of("file", "original", seed),
                "features": sha256_of(path),
            }
            raw[seed] = measured_record(chain | of, evidence_of(number, (0.4, 0.2)).raw)
            cost[seed] = cost_record(chain, COST if name != "original" else None)
            transfer[seed] = transfer_record(chain, "cub", 50.0 + number)
        write_json(Path(f"metrics/raw/{name}.json"), raw)
        write_json(Path(f"metrics/cost/{name}.json"), cost)
        write_json(Path(f"metrics/transfer/cub/{name}.json"), transfer)
    return world


def read(manifest: Manifest, name: str = "ec", seed: int = 0) -> Any:
    return read_evidence(name, seed, ["cub"], manifest)


def rewritten(path: str, change: Callable[[dict[str, Any]], Any], seed: str = "0") -> None:
    """Change the record of a seed and seal it anew."""
    records = json.loads(Path(path).read_text())
    del records[seed][SEAL]
    change(records[seed])
    records[seed] = sealed(records[seed])
    Path(path).write_text(json.dumps(records))


def test_what_was_written_is_what_is_read(measured: Manifest) -> None:
    found = read(measured)
    assert found.raw == json.loads(json.dumps(evidence_of(2, (0.4, 0.2)).raw))
    assert found.cost == COST
    assert found.transfer == {"cub": 52.0}
    assert torch.equal(found.shared.train, features(20).train)
    assert read(measured, "original").cost == {}


def same_evidence(one: Any, other: Any) -> bool:
    tensors = zip(vars(one.shared).values(), vars(other.shared).values(), strict=True)
    alike = all(torch.equal(a, b) for a, b in tensors if isinstance(a, torch.Tensor))
    return (one.raw, one.cost, one.transfer) == (other.raw, other.cost, other.transfer) and alike


@pytest.mark.parametrize("path", ["metrics/raw/ec.json", "metrics/cost/ec.json", "metrics/transfer/cub/ec.json"])
def test_a_damaged_record_is_noticed(measured: Manifest, path: str) -> None:
    assert_noticed(Path(path), lambda: read(measured), [*BYTES, *JSON], same_evidence)


def test_damaged_features_are_noticed(measured: Manifest) -> None:
    path = Path("metrics/features/ec/0.safetensors")
    assert_noticed(path, lambda: read(measured), BYTES, same_evidence)


SWAPPED = [
    ("metrics/raw/cu.json", "metrics/raw/ec.json"),
    ("metrics/raw/original.json", "metrics/raw/ec.json"),
    ("metrics/cost/cu.json", "metrics/cost/ec.json"),
    ("metrics/transfer/cub/cu.json", "metrics/transfer/cub/ec.json"),
    ("metrics/features/cu/0.safetensors", "metrics/features/ec/0.safetensors"),
    ("metrics/features/ec/1.safetensors", "metrics/features/ec/0.safetensors"),
    ("metrics/raw/ec.json", "metrics/cost/ec.json"),
    ("metrics/cost/ec.json", "metrics/transfer/cub/ec.json"),
    ("metrics/raw/ec.json", "metrics/features/ec/0.safetensors"),
]


@pytest.mark.parametrize(("source", "target"), SWAPPED)
def test_a_file_under_anothers_name_is_refused(measured: Manifest, source: str, target: str) -> None:
    shutil.copyfile(source, target)
    with pytest.raises(InputError, match=rf"{re.escape(target)}.*; run `dvc repro"):
        read(measured)


@pytest.mark.parametrize("path", ["metrics/raw/ec.json", "metrics/cost/ec.json", "metrics/transfer/cub/ec.json"])
def test_the_record_of_another_seed_is_refused(measured: Manifest, path: str) -> None:
    records = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({"0": records["1"], "1": records["0"]}))
    with pytest.raises(InputError, match=rf"{path} .*seed 0: it is of another"):
        read(measured)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"split": "0" * 16}, "split"),
        ({"forget": "0" * 16}, "choice of what to forget"),
        ({"original": "0" * 64}, "original"),
        ({"features": "0" * 64}, "model, or damaged"),
        ({"checkpoint": "0" * 64}, "file of the model"),
        ({"model": "cu"}, "model"),
        ({"seed": 1}, "seed"),
    ],
)
def test_a_chain_that_does_not_fit_is_refused(measured: Manifest, change: dict[str, Any], what: str) -> None:
    rewritten("metrics/raw/ec.json", lambda record: record["chain"].update(change))
    with pytest.raises(InputError, match=f"seed 0: it is of another {what}, .* instead of .*; run `dvc repro --force"):
        read(measured)


def test_what_was_measured_of_another_split_or_request_is_refused(measured: Manifest) -> None:
    with pytest.raises(InputError, match="another choice of what to forget"):
        read(replace(measured, forget_classes=[2]))
    with pytest.raises(InputError, match="another split"):
        read(replace(measured, content="other images"))


def test_an_original_that_was_made_anew_refuses_what_came_from_the_old_one(measured: Manifest) -> None:
    new = {"checkpoint": hash_of("new"), "original": hash_of("new")}
    rewritten("metrics/raw/original.json", lambda record: record["chain"].update(new))
    with pytest.raises(InputError, match=r"raw/ec\.json .* it is of another original"):
        read(measured)


def test_the_original_as_retrained_model_is_refused(measured: Manifest) -> None:
    weights = {"weights": hash_of("weights", "original", 0)}
    rewritten("metrics/raw/retrained.json", lambda record: record["chain"].update(weights))
    with pytest.raises(InputError, match=r"raw/retrained\.json: seed 0: the retrained model has the same weights"):
        read(measured, "retrained")


@pytest.mark.parametrize(
    ("key", "value"),
    [("forget_acc", 10.5), ("forget_acc", 101.0), ("forget_acc", "0"), ("forget_acc", True), ("label_entropy", None)],
)
def test_a_number_edited_by_hand_is_refused(measured: Manifest, key: str, value: object) -> None:
    path = Path("metrics/raw/ec.json")
    records = json.loads(path.read_text())
    records["0"]["measured"][key] = value
    path.write_text(json.dumps(records))
    with pytest.raises(InputError, match=r"raw/ec\.json is not what was measured of this model \(.*seed 0"):
        read(measured)


@pytest.mark.parametrize("lost", ["metrics/raw/ec.json", "metrics/raw/original.json", "metrics/cost/ec.json"])
def test_a_missing_file_or_seed_says_what_to_run(measured: Manifest, lost: str) -> None:
    with pytest.raises(InputError, match=r"metrics/raw/ec\.json with seed 7 not found; run `dvc repro`"):
        read(measured, seed=7)
    Path(lost).unlink()
    with pytest.raises(InputError, match=rf"{lost} not found; run `dvc repro "):
        read(measured)


def test_a_model_without_classes_erased_before_has_nothing_of_them(measured: Manifest) -> None:
    with pytest.raises(InputError, match="seed 0: nothing of the classes that were erased before"):
        read_earlier("ec", 0, measured)


SHADOW = Path("metrics/shadows/3.safetensors")


def write_shadow(manifest: Manifest, number: int = 3) -> None:
    says = {"train": torch.randn(96).double(), "train_out": torch.arange(96) % 2 == 0, "test": torch.randn(24).double()}
    write_tensors(SHADOW, says, {"number": number, "seed": 0, "split": manifest.hash})


def test_a_damaged_shadow_model_is_noticed(world: Manifest) -> None:
    write_shadow(world)
    assert_noticed(
        SHADOW,
        lambda: read_shadow(3, world),
        BYTES,
        lambda one, other: all(
            torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
        ),
    )


def test_a_shadow_model_of_another_split_or_number_or_form_is_refused(world: Manifest) -> None:
    write_shadow(world, number=4)
    with pytest.raises(InputError, match="of another number, 4 instead of 3"):
        read_shadow(3, world)
    write_shadow(replace(world, content="other"))
    with pytest.raises(InputError, match="of another split"):
        read_shadow(3, world)
    save_file(load_file(SHADOW), SHADOW)
    with pytest.raises(InputError, match="it has no header of this pipeline"):
        read_shadow(3, world)


def recorded(manifest: Manifest, name: str) -> None:
    path = Path(f"models/{name}/0.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    Recorder(f"unlearn@{name}").write({"lr": 0.1}, [0], manifest.hash, [Path("data/forget.json")], [path])


def test_a_run_is_recorded_with_the_hashes_of_what_it_read_and_wrote(world: Manifest) -> None:
    recorded(world, "ec")
    run = read_run("unlearn@ec")
    assert run is not None
    assert run.inputs == {"data/forget.json": sha256_of(Path("data/forget.json"))}
    assert run.outputs == {"models/ec/0.safetensors": sha256_of(Path("models/ec/0.safetensors"))}
    assert (run.split, run.seeds, run.params) == (world.hash, [0], {"lr": 0.1})
    assert {"python", "torch", "timm", "dvc"} <= set(run.packages)
    assert run.started <= run.ended
    assert read_run("unlearn@cu") is None


def test_a_damaged_run_record_is_noticed(world: Manifest) -> None:
    recorded(world, "ec")
    assert_noticed(
        record_path("unlearn@ec"), lambda: read_run("unlearn@ec"), [*BYTES, *JSON], lambda one, other: one == other
    )


def test_the_report_ends_with_the_chain_of_each_row(measured: Manifest) -> None:
    recorded(measured, "ec")
    checkpoint = sha256_of(Path("models/ec/0.safetensors"))
    rewritten("metrics/raw/ec.json", lambda record: record["chain"].update(checkpoint=checkpoint))
    section = chain_section(runs_of(chain_of(["original", "ec", "cu"], SEEDS, measured)))
    rows = [line for line in section.splitlines() if line.startswith("| ec |")]
    assert f"`{checkpoint[:12]}`" in rows[0]
    assert f"`{hash_of('file', 'original', 0)[:12]}`" in rows[0]
    assert f"`{measured.hash[:12]}`" in rows[0]
    assert "not recorded" not in rows[0]
    assert "not recorded" in rows[1]  # the run made another file than the one that was measured
    assert "Software: python " in section


def test_a_damaged_log_of_a_training_is_told_or_taken(world: Manifest) -> None:  # noqa: ARG001
    """It has no seal of its own: dvc.lock knows its hash, and `dvc repro` makes a changed one again."""
    path = Path("plots/curves/ec.csv")
    write_curves(path, {seed: [{"epoch": one, "loss": 1 / one} for one in (1, 2)] for seed in (0, 1)})
    assert read_log(path)["1"]["loss"] == [1.0, 0.5]
    assert_noticed(path, lambda: read_log(path), BYTES, lambda *_: True)
    path.write_text("seed,epoch,loss\n0,1,nan\n")
    with pytest.raises(
        InputError, match=r"^plots/curves/ec\.csv is not the log of a training .*; run `dvc repro --force "
    ):
        read_log(path)


def test_a_seal_does_not_depend_on_order_or_white_space(measured: Manifest) -> None:
    path = Path("metrics/raw/ec.json")
    records = json.loads(path.read_text())
    turned = {seed: dict(reversed(list(record.items()))) for seed, record in records.items()}
    path.write_text(json.dumps(turned))
    assert read(measured).raw["layers"] == LAYERS
    save_manifest(measured)
    assert read(measured).raw["layers"] == LAYERS
