"""What the stages before `compare` wrote: the one place where raw files are read, and what does not fit is refused.

The chain runs from a number to the file of the model it was measured on, to the original that this came from, to the
split and what is to be forgotten of it. A file of another split, another original, another model under this name, the
features of another, or a number that was edited: none of them is compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unlearning.comparison.evidence import Evidence, Raw, Shadow
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.evaluation.shared import Sample, load_sample, load_shared
from unlearning.files import sha256_known
from unlearning.read_back import Hash, Origin, require_file
from unlearning.records.chain import evaluation, making, read_record, refuse_other
from unlearning.records.cost import CostRecord
from unlearning.records.measured import MeasuredChain, MeasuredRecord
from unlearning.records.transferred import TransferRecord
from unlearning.sealed_tensors import TensorHeader, read_header, read_tensors

RAW, FEATURES, COST, TRANSFER = (Path(f"metrics/{kind}") for kind in ("raw", "features", "cost", "transfer"))


@dataclass(frozen=True)
class Measured:
    """How to read what was measured of a model in one seed: its numbers alone, or with the large features."""

    raw: Callable[[str, int], Raw]
    evidence: Callable[[str, int], Evidence]


class ShadowHeader(TensorHeader):
    """The header of metrics/shadows/<number>.safetensors."""

    number: int
    seed: int
    split: str


def of_this_request(sets: list[str], manifest: Manifest) -> Measured:
    """Return how to read what was measured on the classes, or samples, to forget; sets: downstream, by name.

    manifest: the present split, with what is to be forgotten.
    """
    return Measured(
        lambda name, seed: read_measured(name, seed, manifest)[1]["measured"],
        lambda name, seed: read_evidence(name, seed, sets, manifest),
    )


def of_earlier_requests(manifest: Manifest) -> Measured:
    """Return how to read what was measured on the classes erased before; manifest: as for `of_this_request`."""
    return Measured(
        lambda name, seed: _measured_earlier(name, seed, manifest)[1],
        lambda name, seed: read_earlier(name, seed, manifest),
    )


def read_evidence(name: str, seed: int, sets: list[str], manifest: Manifest) -> Evidence:
    """Return what was measured of a model for a seed; manifest: the present split, with what is to be forgotten.

    Raises InputError for a file that is missing, damaged, or does not fit the others.
    """
    record, whole = read_measured(name, seed, manifest)
    path = FEATURES / name / f"{seed}.safetensors"
    _refuse_other_features(path, name, seed, record.chain.features)
    shared = load_shared(path, record.measured.layers)
    transfer = {one: _transferred(one, name, seed, record.chain) for one in sets}
    return Evidence(whole["measured"], shared, _cost(name, seed, record.chain), transfer)


def read_earlier(name: str, seed: int, manifest: Manifest) -> Evidence:
    """Return what was measured of a model on the classes erased before; it has no cost and no k-NN of its own.

    manifest: as for `read_evidence`. Raises InputError like it.
    """
    features, raw = _measured_earlier(name, seed, manifest)
    path = FEATURES / name / "earlier" / f"{seed}.safetensors"
    _refuse_other_features(path, name, seed, features)
    return Evidence(raw, load_shared(path, raw["layers"]), {})


def read_sample(name: str, seed: int, features: Hash) -> Sample:
    """Return the features of a sample of the test split, which pictures are of; features: the hash of their file.

    Raises InputError where it is missing, or another.
    """
    path = FEATURES / name / f"{seed}.safetensors"
    _refuse_other_features(path, name, seed, features)
    return load_sample(path)


def read_measured(name: str, seed: int, manifest: Manifest) -> tuple[MeasuredRecord, dict[str, dict]]:
    """Return the record of what was measured, and what stands in the file, where it fits split and original."""
    own, whole = _record(name, seed, manifest)
    path, origin = RAW / f"{name}.json", evaluation(name)
    original = own if name == "original" else _record("original", seed, manifest)[0]
    refuse_other(path, origin, seed, {"original": (own.chain.original, original.chain.checkpoint)})
    if name == "retrained" and own.chain.weights == original.chain.weights:
        raise InputError(
            f"{path}: seed {seed}: the retrained model has the same weights as the original; give it as "
            "retrained.checkpoint, or null to train it"
        )
    return own, whole


def read_shadow(number: int, manifest: Manifest) -> Shadow:
    """Return what a shadow model says; raises InputError when the file is missing, damaged, or of another split."""
    path = Path(f"metrics/shadows/{number}.safetensors")
    origin = Origin("what this shadow model says", f"shadow@{number}")
    if not path.is_file():
        raise InputError(f"{path} not found; run `dvc repro`, which trains the shadow models of lira.shadows first")
    header = read_header(path, ShadowHeader, origin)
    refuse_other(path, origin, header.seed, {"number": (header.number, number), "split": (header.split, manifest.hash)})
    tensors = read_tensors(path, origin, header.weights)
    if sorted(tensors) != ["test", "train", "train_out"]:
        origin.refuse(path, "tensors train, train_out and test were expected")
    return Shadow(**tensors)


def _record(name: str, seed: int, manifest: Manifest) -> tuple[MeasuredRecord, dict[str, dict]]:
    path, origin = RAW / f"{name}.json", evaluation(name)
    record, whole = read_record(path, seed, MeasuredRecord, origin)
    chain = record.chain
    expected = {
        "model": (chain.model, name),
        "seed": (chain.seed, seed),
        "split": (chain.split, manifest.hash),
        "choice of what to forget": (chain.forget, manifest.forget_hash),
    }
    refuse_other(path, origin, seed, expected)
    return record, whole


def _measured_earlier(name: str, seed: int, manifest: Manifest) -> tuple[Hash, Raw]:
    """Return the hash of the features, and the numbers, of the classes that were erased before."""
    record, whole = read_measured(name, seed, manifest)
    features = record.chain.earlier_features
    if record.measured.earlier is None or features is None:
        evaluation(name).refuse(RAW / f"{name}.json", f"seed {seed}: nothing of the classes that were erased before")
    return features, whole["measured"]["earlier"]


def _refuse_other_features(path: Path, name: str, seed: int, expected: Hash) -> None:
    origin = evaluation(name)
    require_file(path, origin)
    refuse_other(path, origin, seed, {"model, or damaged": (sha256_known(path), expected)})


def _cost(name: str, seed: int, chain: MeasuredChain) -> dict[str, object]:
    path, origin = COST / f"{name}.json", making(name)
    record, whole = read_record(path, seed, CostRecord, origin)
    _refuse_other_model(path, origin, record, chain)
    return whole["cost"] or {}


def _transferred(of_set: str, name: str, seed: int, chain: MeasuredChain) -> float:
    path, origin = TRANSFER / of_set / f"{name}.json", Origin("the k-NN accuracy of this model", "transfer")
    record, _ = read_record(path, seed, TransferRecord, origin)
    refuse_other(path, origin, seed, {"downstream set": (record.set, of_set)})
    _refuse_other_model(path, origin, record, chain)
    return record.knn_acc


def _refuse_other_model(
    path: Path, origin: Origin, record: CostRecord | TransferRecord, measured: MeasuredChain
) -> None:
    pairs = {key: (getattr(record.chain, key), getattr(measured, key)) for key in ("model", "seed", "split")}
    file = {"file of the model": (record.chain.checkpoint, measured.checkpoint)}
    refuse_other(path, origin, measured.seed, {**pairs, **file})
