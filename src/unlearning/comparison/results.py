"""What `compare` found, in one file: all that `report` needs, but for pictures."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from unlearning.comparison.earlier import Earlier
from unlearning.errors import InputError
from unlearning.files import write_json
from unlearning.over_seeds import Summary

COMPARED = Path("metrics/compared.json")


@dataclass(frozen=True)
class Results:
    """Every row of the table, in its order, and the same of classes erased before."""

    models: dict[str, Summary]
    earlier: Earlier | None


def write_results(results: Results) -> None:
    """Write the file atomically; a ValueError for NaN and infinity."""
    write_json(COMPARED, asdict(results))


def read_results() -> Results:
    """Read the file; raises InputError when it is missing or of another form."""
    try:
        return TypeAdapter(Results).validate_json(COMPARED.read_bytes(), strict=True)
    except FileNotFoundError:
        raise InputError(f"{COMPARED} not found; run `dvc repro`, whose stage `compare` writes it") from None
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise InputError(f"{COMPARED} is damaged ({why}); run `dvc repro --force compare`") from None
