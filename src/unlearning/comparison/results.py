"""What `compare` found, in one file: all that `report` needs, but for pictures."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from unlearning.comparison.earlier import Earlier
from unlearning.comparison.origins import Link
from unlearning.errors import InputError
from unlearning.files import write_json
from unlearning.over_seeds import Summary
from unlearning.read_back import SEAL, seal_of, sealed

COMPARED = Path("metrics/compared.json")


@dataclass(frozen=True)
class Results:
    """Every row of the table, in its order, the same of classes erased before, and where the models come from."""

    models: dict[str, Summary]
    earlier: Earlier | None
    chain: list[Link]


def write_results(results: Results) -> None:
    """Write the file atomically, with a seal; a ValueError for NaN and infinity."""
    write_json(COMPARED, sealed(asdict(results)))


def read_results() -> Results:
    """Read the file; raises InputError when it is missing, of another form, or not what was written."""
    try:
        content = COMPARED.read_bytes()
        results = TypeAdapter(Results).validate_json(content, strict=True)
    except FileNotFoundError:
        raise InputError(f"{COMPARED} not found; run `dvc repro`, whose stage `compare` writes it") from None
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise InputError(f"{COMPARED} is damaged ({why}); run `dvc repro --force compare`") from None
    if not _intact(json.loads(content)):
        raise InputError(f"{COMPARED} is damaged (its seal differs); run `dvc repro --force compare`")
    return results


def _intact(fields: dict[str, Any]) -> bool:
    try:
        return bool(fields.get(SEAL) == seal_of({key: value for key, value in fields.items() if key != SEAL}))
    except ValueError:  # NaN
        return False
