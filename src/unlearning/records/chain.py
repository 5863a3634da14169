"""Which model of which samples a record is about, and reading the record of one seed."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from unlearning.errors import InputError
from unlearning.files import write_json
from unlearning.params import REFERENCES
from unlearning.read_back import Count, Hash, Origin, Written, opened, read_json

ShortHash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Chain(Written):
    """What every record names: the model's file, and the samples it was made on."""

    model: str
    seed: Count
    split: ShortHash  # `Manifest.hash`
    checkpoint: Hash  # SHA-256 of models/<model>/<seed>.safetensors


class Record(Written):
    """What every record of a seed has."""

    seal: Hash


AnyRecord = TypeVar("AnyRecord", bound=Record)


def write_records(path: Path, records: dict[int, Any]) -> None:
    """Write the sealed record of each seed, {seed: record}."""
    write_json(path, records)


def read_record(path: Path, seed: int, kind: type[AnyRecord], origin: Origin) -> tuple[AnyRecord, dict[str, Any]]:
    """Return the record of a seed, as its model and as it stands in the file.

    Raises InputError when file or seed is missing, and for anything that the stage has not written.
    """
    value = read_json(path, origin)
    if not isinstance(value, dict):
        origin.refuse(path, "a record for each seed was expected")
    if str(seed) not in value:
        raise InputError(f"{path} with seed {seed} not found; run `dvc repro`, which makes it first")
    return opened(value[str(seed)], kind, path, origin, f"seed {seed}"), value[str(seed)]


def refuse_other(path: Path, origin: Origin, seed: int, of: dict[str, tuple[Any, Any]]) -> None:
    """Raise InputError where a record does not fit; of: {what: (as the record says, as expected)}."""
    for what, (found, expected) in of.items():
        if found != expected:
            origin.refuse(path, f"seed {seed}: it is of another {what}, {_brief(found)} instead of {_brief(expected)}")


def evaluation(name: str) -> Origin:
    """Return the stage that measures a model."""
    stage = "evaluate_reference" if name in REFERENCES else "evaluate"
    return Origin("what was measured of this model", f"{stage}@{name}")


def making(name: str) -> Origin:
    """Return the stage that makes a model."""
    stage = f"train@{name}" if name in REFERENCES else "pretrain_ec" if name == "ec_modules" else f"unlearn@{name}"
    return Origin("the cost of this model", stage)


def _brief(value: Any) -> str:
    return ascii(value)[1:13] if isinstance(value, str) else str(value)
