"""Reading back what an earlier stage wrote: one door for all JSON of our own.

Such a file is one regular file of bounded size, in one dialect of JSON, of the shape that its pydantic model says, and
with the seal that it was written with. Whatever else is there is refused in one line that says which stage makes a good
one. The seal is a hash, no signature: it notices a number that was edited, not a forger who computes it anew.
"""

import hashlib
import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearning.errors import InputError, brief

SEAL = "seal"
LARGEST = 1 << 28  # bytes of a file, but for those of all samples
LONGEST_NUMBER = 40  # digits of an integer; a longer one takes time that grows with its square
SHOWN = 60  # characters of a wrong value
TOP = 1 << 40  # more than any count, position or seed of ours

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256
Count = Annotated[int, Field(ge=0, le=TOP)]
Percent = Annotated[float, Field(ge=-1e-6, le=100 + 1e-6)]  # by rounding a mean can be a little beyond


class Written(BaseModel):
    """What a file of ours holds: exactly these keys, no text in a number's place, finite numbers only."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


AnyWritten = TypeVar("AnyWritten", bound=Written)


@dataclass(frozen=True)
class Origin:
    """What a file should be, and which stage of dvc.yaml writes it: for messages."""

    what: str  # such as "a manifest"
    stage: str | None  # None: the file lies elsewhere, and nobody can say

    @property
    def again(self) -> str:
        """How to get a good one."""
        return f"run `dvc repro --force {self.stage}`" if self.stage else "give a good copy of it"

    def refuse(self, path: Path, why: str) -> NoReturn:
        """Raise InputError that says what is wrong with the file and how to get a good one."""
        raise InputError(f"{path} is not {self.what} ({brief(why, 300)}); {self.again}")

    def missing(self, path: Path) -> NoReturn:
        """Raise InputError that says how to get the file."""
        how = f"run `dvc repro {self.stage}` first" if self.stage else "check the path"
        raise InputError(f"{path} not found; {how}")


def require_file(path: Path, origin: Origin, largest: int | None = None) -> int:
    """Return the bytes of a regular file, or of the one a link leads to (DVC may link its outputs).

    Raises InputError for none, for a folder, a pipe or a device, and for one of more than `largest` bytes.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        origin.missing(path)
    except (OSError, ValueError) as error:
        origin.refuse(path, str(error))
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        origin.refuse(path, f"it is {kinds.get(stat.S_IFMT(found.st_mode), 'no file')}")
    if largest is not None and found.st_size > largest:
        origin.refuse(path, f"it has {found.st_size} bytes, at most {largest} were expected")
    return found.st_size


def read_json(path: Path, origin: Origin, largest: int = LARGEST) -> Any:
    """Return what a JSON file holds.

    Raises InputError like `require_file`, and for anything but UTF-8 and JSON, NaN and infinity, a key that stands
    twice, a number of very many digits.
    """
    require_file(path, origin, largest)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        _refuse_text(path, origin, str(error))
    return read_text_as_json(text, path, origin)


def read_text_as_json(text: str, path: Path, origin: Origin) -> Any:
    """Return what a text of the file holds; raises InputError like `read_json`."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_each_key_once,
            parse_int=_short,
            parse_float=finite,
            parse_constant=_no_constant,
        )
    except ValueError as error:
        _refuse_text(path, origin, str(error))
    except RecursionError:
        origin.refuse(path, "it is nested too deeply")


def _refuse_text(path: Path, origin: Origin, why: str) -> NoReturn:
    raise InputError(f"{path} is not JSON ({ascii(brief(why, 200))[1:-1]}); {origin.again}")


def read_sealed(path: Path, kind: type[AnyWritten], origin: Origin, largest: int = LARGEST) -> AnyWritten:
    """Return a sealed JSON file as its model; raises InputError like `read_json`, and for another shape or content."""
    return opened(read_json(path, origin, largest), kind, path, origin)


def opened(value: Any, kind: type[AnyWritten], path: Path, origin: Origin, where: str = "") -> AnyWritten:
    """Return a sealed value of a file as its model; where: what part of the file it is, for messages.

    Raises InputError for another shape, and for content that is not what was sealed.
    """
    checked = shaped(value, kind, path, origin, where)
    try:
        intact = value.get(SEAL) == seal_of({key: one for key, one in value.items() if key != SEAL})
    except (RecursionError, ValueError):
        intact = False
    if not intact:
        origin.refuse(path, f"{where}{': ' if where else ''}its content is not what the stage wrote: its seal differs")
    return checked


def shaped(value: Any, kind: type[AnyWritten], path: Path, origin: Origin, where: str = "") -> AnyWritten:
    """Return a value as its model; raises InputError naming the first key that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        place = ".".join(part for part in [where, *(str(part) for part in problems[0]["loc"])] if part)
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        origin.refuse(path, f"{_quoted(place)}{_sentence(problems[0])}{more}")
    except RecursionError:
        origin.refuse(path, "it is nested too deeply")


def sealed(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with their seal, as they come back from a file; raises ValueError for NaN and infinity."""
    plain = json.loads(json.dumps(fields, allow_nan=False))
    return {**plain, SEAL: seal_of(plain)}


def seal_of(fields: dict[str, Any]) -> str:
    """Return the SHA-256 of the content of fields that came from JSON, whatever their order and white space."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _quoted(place: str) -> str:
    return f"'{ascii(place)[1:-1][:SHOWN]}': " if place else ""


def _sentence(problem: Any) -> str:
    message = ascii(problem["msg"].removeprefix("Value error, "))[1:-1]
    if isinstance(problem["input"], dict | list):
        return message
    shown = ascii(problem["input"])
    return f"{message}, not {shown if len(shown) <= SHOWN else shown[:SHOWN] + ' ...'}"


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {ascii(twice)[:SHOWN]} stands twice")
    return found


def _short(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def finite(digits: str) -> float:
    """Return the number of a text; raises ValueError for one that is not finite, or none."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:SHOWN]} is not finite")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
