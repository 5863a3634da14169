"""Reading params.yaml: every wrong, missing or unknown value is named by its key, with what was expected.

`yaml_text` reads the text, as DVC does. `unlearning check` checks all of the file.
"""

import math
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from ruamel.yaml.error import YAMLError

from unlearning.errors import LONGEST_FAULT, Faults, InputError, brief, did_you_mean
from unlearning.params import Block, Params, Start, known_methods
from unlearning.params_rules import faults_between
from unlearning.yaml_text import BOOLEANS, parsed, what_is_wrong

PARAMS = Path("params.yaml")
LARGEST = 1_000_000  # bytes of a file of parameters; this repository's has 35,000
ALTERNATIVES = ("str", "int", "float", "bool")  # of a type, as pydantic names them behind the key: not shown
CHECKED = "function-"  # what pydantic sets before the name of a type that has a validator
MOST_OF_ONE_LIST = 3  # faults in one list that are told one by one
LONGEST_KEY = 80  # characters
AnyBlock = TypeVar("AnyBlock", bound=Block)


class _Shown(Repr):
    """A value within a message, cut short whatever it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 40
        self.maxlevel = 2
        self.maxlist = self.maxdict = 3

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if abs(x) < 10**100 else "a number of more than 100 digits"


def load_params(path: Path = PARAMS) -> Params:
    """Read and check params.yaml; raises InputError with a line for each unknown, missing or wrong value."""
    blocks, faults = blocks_of(load_values(path))
    if faults:
        raise Faults(f"{path}: ", faults)
    return Params.model_construct(**blocks)


def blocks_of(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the shared blocks that are right, and "key: what is wrong" for all that is not."""
    methods = values.get("methods")
    named = methods if isinstance(methods, dict) else {}
    own = {key: value for key, value in values.items() if key in Params.model_fields or key not in known_methods()}
    faults = [
        f"methods: {_cut(name)!r} has no block {_cut(name)!r} with its parameters; add one"
        for name in named
        if name not in values
    ]
    try:
        blocks = dict(Params.model_validate(own))
    except ValidationError as error:
        problems = error.errors()
        faults += sentences(Params, problems)
        wrong = {str(problem["loc"][0]) for problem in problems if problem["loc"]}
        right = {key: field for key, field in Params.model_fields.items() if key in own and key not in wrong}
        kinds: dict[str, Any] = {key: field.annotation for key, field in right.items()}
        blocks = {key: TypeAdapter(kind).validate_python(own[key]) for key, kind in kinds.items()}
    return blocks, [*faults, *faults_between(blocks)]


def load_block(kind: type[AnyBlock], name: str, path: Path = PARAMS) -> AnyBlock:
    """Read and check one top-level block, such as a method's own; raises InputError like `load_params`."""
    values = load_values(path)
    if name not in values:
        raise InputError(f"{path}: the block {name!r} is missing; add it with its parameters")
    return checked(kind, values[name], path, prefix=f"{name}.")


def load_values(path: Path = PARAMS) -> dict[str, Any]:
    """Read params.yaml as it is, unchecked; raises InputError when it is no mapping in YAML."""
    try:
        values = parsed(_text_of(path))
    except (YAMLError, RecursionError) as error:
        raise Faults(str(path), what_is_wrong(error)) from None
    if not isinstance(values, dict):
        held = "nothing" if values is None else f"a {type(values).__name__}"
        raise InputError(f"{path} should hold keys and values, but holds {held}; `git checkout {path}` brings it back")
    return values


def _text_of(path: Path) -> str:
    """Return the text of a file; raises InputError for what is no file, no text, or larger than any parameters."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path} is a folder, a file with the parameters was expected")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is a device or a pipe, a file with the parameters was expected")
        if status.st_size > LARGEST:
            raise InputError(
                f"{path} has {status.st_size:,} bytes, {LARGEST:,} at most were expected; is it another file?"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} not found; run from the root of the repository") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: this is no UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); a file with the parameters was expected") from None


def names_in(folder: Path) -> list[str]:
    """Return the names of the YAML files in a folder, without .yaml, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def file_named(name: str, folder: Path) -> Path:
    """Return the YAML file of a name in a folder; raises InputError that lists the known ones."""
    names = names_in(folder)
    if name not in names:
        raise InputError(f"{folder} has no {name}.yaml{did_you_mean(name, names)}; there are {', '.join(names)}")
    return folder / f"{name}.yaml"


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested values, in their order; an empty block is a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def checked(kind: type[AnyBlock], values: object, path: Path, prefix: str = "") -> AnyBlock:
    """Return values of a file as a block; raises InputError with a line for each wrong key, which names the file."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise Faults(f"{path}: ", sentences(kind, error.errors(), prefix)) from None


def sentences(kind: type[Block], problems: list[Any], prefix: str = "") -> list[str]:
    """Return "key: what is wrong" for each problem, as pydantic has found them; of many in one list the first few."""
    told: dict[str, list[str]] = {}
    for problem in _telling(problems):
        place = _place(problem)
        listed = place[:-1] if place and isinstance(place[-1], int) else place
        told.setdefault(prefix + ".".join(map(str, listed)), []).append(_sentence(kind, problem, prefix))
    return [line for key, lines in told.items() for line in _first_few(key, list(dict.fromkeys(lines)))]


def _first_few(key: str, lines: list[str]) -> list[str]:
    more = len(lines) - MOST_OF_ONE_LIST
    return [*lines[:MOST_OF_ONE_LIST], *([f"{_cut(key)}: {more} more of its values are wrong"] if more > 0 else [])]


def _telling(problems: list[Any]) -> list[Any]:
    """Drop what the other alternatives of a type say where the right one has said what is wrong with the value."""
    judged = [_place(problem) for problem in problems if problem["type"] == "value_error"]
    return [problem for problem in problems if problem["type"] == "value_error" or _place(problem) not in judged]


def _place(problem: Any) -> tuple[str | int, ...]:
    return tuple(part for part in problem["loc"] if not _is_alternative(part))


def _sentence(kind: type[Block], problem: Any, prefix: str) -> str:
    key = _cut((prefix + ".".join(str(part) for part in _place(problem))).removesuffix("."))
    given, what = problem["input"], problem["type"]
    if what == "extra_forbidden":
        siblings = list(_block_at(kind, problem["loc"][:-1]).model_fields)
        return f"{key}: unknown key{did_you_mean(str(problem['loc'][-1]), siblings)}"
    if what == "model_type":
        return f"{key}: keys with values were expected, not {_Shown().repr(given)}"
    if what == "missing":
        return f"{key}: this key is missing"
    either = any(map(_is_alternative, problem["loc"]))  # a list or one value alone: that it is no list is half of it
    if what == "list_type" and isinstance(given, str | int | float) and not either:
        return f"{key}: a list was expected; write [{_Shown().repr(given)}]"
    if isinstance(given, str) and _is_number(given, what):
        return f"{key}: {_Shown().repr(given)} is text, a number was expected; write it without quotes"
    if what == "bool_type" and isinstance(given, str) and given in BOOLEANS:
        return f"{key}: {given!r} is text (YAML 1.2, as DVC reads it); write {BOOLEANS[given]}"
    message = problem["msg"].removeprefix("Value error, ")
    said = isinstance(given, dict) or (what == "value_error" and given == "")  # shown, it would tell nothing more
    shown = "" if said else f", not {_Shown().repr(given)}"
    return (f"{key}: " if key else "") + brief(message, LONGEST_FAULT - len(key) - len(shown) - 2) + shown


def _cut(key: object) -> str:
    text = str(key)
    return text if len(text) <= LONGEST_KEY else f"{text[: LONGEST_KEY - 3]}..."


def _is_alternative(part: str | int) -> bool:
    return str(part) in ALTERNATIVES or str(part).startswith(("list[", "constrained-", CHECKED))


def _block_at(kind: type[Block], location: tuple[str | int, ...]) -> type[BaseModel]:
    block: type[BaseModel] = kind
    for part in location:
        if isinstance(part, int):  # an item of a list: its block was found with the list
            continue
        field = block.model_fields.get(part)
        if field is None:  # a key of a mapping, whose block was found with the mapping
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        block = next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), Start)
    return block


def _is_number(text: str, what: str) -> bool:
    """Return whether the text would be what was expected, if it were no text."""
    kinds: dict[str, type[int] | type[float]] = {"int_type": int, "float_type": float}
    try:
        return what in kinds and math.isfinite(kinds[what](text))
    except (ValueError, OverflowError):
        return False
