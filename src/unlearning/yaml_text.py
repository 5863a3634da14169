"""Reading the text of params.yaml as DVC reads it, by YAML 1.2: 1e-05 is a number, `no` text, 010 ten.

`dvc exp run -S` rewrites the file so, and a stage must compute with the very values that DVC has compared. The names of
classes alone are read as they are typed.
"""

import re
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.tag import Tag

DEEPEST = 20  # blocks within blocks; the parser in C ends the whole process somewhere beyond 20,000
TAG = "tag:yaml.org,2002:"  # of YAML's types
READ_AS_IT_IS = "0|[1-9][0-9]*|"  # of a class: a place in the list, or nothing


@lru_cache(maxsize=1)  # the check reads one block after the other
def parsed(text: str) -> Any:
    """Return what the text holds; raises YAMLError, with the place in the text where it has one."""
    _refuse_deep(text)
    yaml = _reader()
    yaml.Constructor = _NamedConstructor
    return yaml.load(text)


def as_dvc_reads(text: str) -> Any:
    """Return what the text holds to DVC, class names included; raises YAMLError."""
    return _reader().load(text)


def _reader() -> YAML:
    return YAML(typ="safe")  # as in dvc.utils.serialize


class _Refused(MarkedYAMLError):
    """Valid YAML that is not taken here."""


class _NamedConstructor(SafeConstructor):
    """Names the place of a value that looks like a number or a date and is none, such as one of 10,000 digits.

    Class names are read as they are typed, where YAML would make 007 seven. A date among them is refused: DVC, which
    reads the file too, takes none.
    """

    def construct_document(self, node: Node) -> Any:
        for key, entry in _class_entries(node):
            if entry.tag == f"{TAG}timestamp":
                problem = f"{key}: {entry.value} is a date to YAML; write '{entry.value}', in quotes"
                raise _Refused(None, None, problem, entry.start_mark)
            if isinstance(entry, ScalarNode) and not re.fullmatch(READ_AS_IT_IS, entry.value):
                entry.ctag = Tag(suffix=f"{TAG}str")
        return super().construct_document(node)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise ConstructorError(None, None, str(error).partition(";")[0], node.start_mark) from None


def _refuse_deep(text: str) -> None:
    depth = 0
    for event in _reader().parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise MarkedYAMLError(None, None, f"more than {DEEPEST} blocks within blocks", event.start_mark)


def _class_entries(root: Node) -> list[tuple[str, Node]]:
    several, one = _below(_below(root, "forget"), "classes"), _below(_below(root, "figures"), "forget_class")
    entries = several.value if isinstance(several, SequenceNode) else []
    chosen = [] if one is None or one.tag == f"{TAG}null" else [one]
    return [*(("forget.classes", node) for node in entries), *(("figures.forget_class", node) for node in chosen)]


def _below(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def what_is_wrong(error: Exception) -> str:
    """Return ", line 3: ..." for what the YAML reader says in several lines."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f" is not valid YAML: {error}"
    line, problem = error.problem_mark.line + 1, error.problem
    if isinstance(error, DuplicateKeyError):
        key = str(problem).partition('"')[2].partition('"')[0]
        return f", line {line}: the key {key!r} stands twice in its block; remove one"
    began = error.context_mark.line + 1 if error.context_mark else line
    context = f" ({error.context}, which began in line {began})" if error.context and began != line else ""
    if isinstance(error, _Refused):
        return f", line {line}: {problem}"
    tab = "; indent by spaces, not by tabs" if "tab" in str(problem) or "start any token" in str(problem) else ""
    return f", line {line}: not valid YAML: {problem}{context}{tab}"
