"""Reading params.yaml: every wrong, missing or unknown value is named by its key, with what was expected.

`python -m unlearning.check` checks the whole file.
"""

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from unlearning.errors import InputError, did_you_mean
from unlearning.params import Block, Params, Start, known_methods

PARAMS = Path("params.yaml")
ALTERNATIVES = ("str", "int", "list[str]")  # of a type, as pydantic names them behind the key: the key alone is shown
TAG = "tag:yaml.org,2002:"  # of YAML's types
READ_AS_IT_IS = "0|[1-9][0-9]*|"  # of a class: a place in the list, or nothing
AnyBlock = TypeVar("AnyBlock", bound=Block)


class _Loader(yaml.SafeLoader):
    """Reads the names of classes as they are typed, where YAML would make `no` false and 010 eight.

    Raises InputError for a date: DVC, which reads the file too, does not take one.
    """

    def get_single_node(self) -> yaml.Node | None:
        root: yaml.Node | None = super().get_single_node()
        for key, node in _class_entries(root):
            if node.tag == f"{TAG}timestamp":
                raise InputError(f"{key}: YAML reads {node.value} as a date; write '{node.value}', in quotes")
            if isinstance(node, yaml.ScalarNode) and not re.fullmatch(READ_AS_IT_IS, node.value):
                node.tag = f"{TAG}str"
        return root


def _class_entries(root: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    several, one = _below(_below(root, "forget"), "classes"), _below(_below(root, "figures"), "forget_class")
    entries = several.value if isinstance(several, yaml.SequenceNode) else []
    chosen = [] if one is None or one.tag == f"{TAG}null" else [one]
    return [*(("forget.classes", node) for node in entries), *(("figures.forget_class", node) for node in chosen)]


def _below(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def load_params(path: Path = PARAMS) -> Params:
    """Read and check params.yaml.

    Raises InputError naming the key of every unknown, missing or wrong value.
    """
    values = _read(path)
    methods = values.get("methods")
    for name in methods if isinstance(methods, dict) else ():
        if name not in values:
            raise InputError(f"{path}: methods: {name!r} has no block {name!r} with its parameters; add one")
    own = {key: value for key, value in values.items() if key in Params.model_fields or key not in known_methods()}
    return _checked(Params, own, path, prefix="")


def load_block(kind: type[AnyBlock], name: str, path: Path = PARAMS) -> AnyBlock:
    """Read and check one top-level block, such as a method's own; raises InputError like `load_params`."""
    values = _read(path)
    if name not in values:
        raise InputError(f"{path}: the block {name!r} is missing; add it with its parameters")
    return _checked(kind, values[name], path, prefix=f"{name}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"{path} not found; run from the root of the repository") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} should hold keys and values, but holds {type(values).__name__}")
    return values


def _checked(kind: type[AnyBlock], values: object, path: Path, prefix: str) -> AnyBlock:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_sentence(kind, problem, prefix) for problem in error.errors()]
        raise InputError(f"{path}: " + "; ".join(problems)) from None


def _sentence(kind: type[Block], problem: Any, prefix: str) -> str:
    key = prefix + ".".join(str(part) for part in problem["loc"] if part not in ALTERNATIVES)
    given = problem["input"]
    if problem["type"] == "extra_forbidden":
        siblings = list(_block_at(kind, problem["loc"][:-1]).model_fields)
        return f"{key}: unknown key{did_you_mean(str(problem['loc'][-1]), siblings)}"
    if problem["type"] == "missing":
        return f"{key}: this key is missing"
    if problem["type"] in ("float_type", "int_type") and isinstance(given, str) and _is_number(given):
        return f"{key}: YAML reads {given!r} as text, a number was expected; write {Decimal(given):f}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return message
    return f"{key}: {message}" + ("" if isinstance(given, dict) else f", not {given!r}")


def _block_at(kind: type[Block], location: tuple[str | int, ...]) -> type[BaseModel]:
    block: type[BaseModel] = kind
    for part in location:
        if isinstance(part, int):  # an item of a list: its block was found with the list
            continue
        field = block.model_fields.get(part)
        annotation = field.annotation if field else Start
        kinds = [annotation, *get_args(annotation)]
        block = next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), Start)
    return block


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
