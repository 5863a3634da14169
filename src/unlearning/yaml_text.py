"""Reading the text of params.yaml as DVC reads it, by YAML 1.2, and refusing what another reader would read otherwise.

`dvc exp run -S` rewrites the file so, and a stage must compute with the very values that DVC has compared. YAML 1.1, by
which PyYAML and most editors go, takes 010 for 8, 1:30 for 90, `no` for false and 1e-2 for text: such text has two
meanings and is taken in none.
"""

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

DEEPEST = 20  # blocks within blocks; the parser in C ends the whole process somewhere beyond 20,000
MOST_NODES = 50_000  # keys and values, aliases written out: a few lines of aliases of aliases stand for billions
MOST_TOLD = 50  # places that are told one by one
TAG = "tag:yaml.org,2002:"  # of YAML's types
BOOLEANS = {  # of YAML 1.1, text in 1.2
    **dict.fromkeys(("yes", "Yes", "YES", "on", "On", "ON"), "true"),
    **dict.fromkeys(("no", "No", "NO", "off", "Off", "OFF"), "false"),
}
BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")  # 1:30, ninety to YAML 1.1
# Numbers that are the same in both; PyYAML asks for a point, and for a sign in the exponent.
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)")
NUMBER = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?\.inf|\.nan", re.I
)
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of characters
CLASS_ID = re.compile("0|[1-9][0-9]*|")  # a place in the list, or nothing; anything else unquoted would be a name


@lru_cache(maxsize=1)  # the check reads one block after the other
def parsed(text: str) -> Any:
    """Return what the text holds; raises `Refusals` for what has two meanings, YAMLError for what has none."""
    try:
        _refuse_beyond_measure(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Refusals([(line, f"the character #x{error.character:04x} stands in no YAML; take it out")]) from None
    yaml = _reader()
    yaml.Constructor = _OneMeaning
    return yaml.load(text)


def as_dvc_reads(text: str) -> Any:
    """Return what the text holds to DVC, whether or not another reader agrees; raises YAMLError."""
    return _reader().load(text)


def _reader() -> YAML:
    return YAML(typ="safe")  # as in dvc.utils.serialize


class Refusals(MarkedYAMLError):
    """Valid YAML that is not taken here: every such place of the text."""

    def __init__(self, places: list[tuple[int, str]]) -> None:
        """places: (line from 1, what is wrong and what to write)."""
        line, problem = places[0]
        super().__init__(None, None, f"line {line}: {problem}", None)
        more = len(places) - MOST_TOLD
        last = [f", line {places[MOST_TOLD][0]}: so are {more} more values"] if more > 0 else []
        self.lines = [f", line {line}: {problem}" for line, problem in places[:MOST_TOLD]] + last


class _OneMeaning(SafeConstructor):
    """Constructs what every reader agrees on, and names the place of a number or date that Python does not take."""

    def construct_document(self, node: Node) -> Any:
        places = [(where.start_mark.line + 1, problem) for where, problem in _two_meanings(node)]
        if places:
            raise Refusals(sorted(set(places)))
        return super().construct_document(node)

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise ConstructorError(None, None, str(error).partition(";")[0], node.start_mark) from None


def _two_meanings(root: Node) -> Iterator[tuple[Node, str]]:
    classes = {id(node): key for key, node in _class_entries(root)}
    for node in _nodes(root):
        if isinstance(node, MappingNode):
            yield from _twice(node)
        elif isinstance(node, ScalarNode):
            meanings = partial(_class_name, classes[id(node)]) if id(node) in classes else _meanings
            if problem := _unseen(node) or (_is_plain(node) and meanings(node.value, str(node.tag))):
                yield node, problem


def _nodes(root: Node) -> Iterator[Node]:
    """Yield each node once, however many aliases it has."""
    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, MappingNode):
            todo += [below for pair in node.value for below in pair]
        elif isinstance(node, SequenceNode):
            todo += node.value


def _twice(node: MappingNode) -> Iterator[tuple[Node, str]]:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, ScalarNode) and key.value in seen:
            yield key, f"the key {_shown(key.value)!r} stands twice in its block; remove one"
        seen.add(key.value if isinstance(key, ScalarNode) else id(key))


def _unseen(node: ScalarNode) -> str | None:
    found = UNSEEN.search(node.value)
    return f"{_shown(node.value)!r} holds the control character {found[0]!r}; take it out" if found else None


def _meanings(text: str, tag: str) -> str | None:
    """Return what is wrong with unquoted text that YAML 1.1 and 1.2 read differently; tag: its type in 1.2."""
    kind, short = tag.removeprefix(TAG), _shown(text)
    if kind == "str" and text in BOOLEANS:
        meant = BOOLEANS[text]
        return f"{text} is text to DVC (YAML 1.2), {meant} to YAML 1.1; write '{text}', in quotes, or {meant}"
    if kind == "str" and BASE_60.fullmatch(text):
        return f"{short} is text to DVC (YAML 1.2), a number of base 60 to YAML 1.1; write '{short}', in quotes"
    if kind == "int" and not INTEGER.fullmatch(text):
        return f"{short} is no such number to YAML 1.1 as to DVC (YAML 1.2); write it in decimals, without leading zero"
    if kind == "float" and not NUMBER.fullmatch(text) and not _written_by_dvc(text):
        written = _decimal(text).replace("inf", "a finite number")
        return f"{short} is a number to DVC (YAML 1.2), text to YAML 1.1; write {written}"
    return None


def _written_by_dvc(text: str) -> bool:
    """Return whether this is how DVC itself writes the number: `-S train.lr=0.00001` makes 1e-05 of it."""
    return text == _decimal(text)


def _decimal(text: str) -> str:
    return repr(float(text.replace("_", "")))


def _class_name(key: str, text: str, tag: str) -> str | None:
    """Return what is wrong with a class that is neither a name nor a place: 007, 1.50, true, a date.

    A class called `no` is text: DVC writes it without quotes, and a list of classes holds no boolean.
    """
    if tag == f"{TAG}str" or CLASS_ID.fullmatch(text):
        return None
    return f"{key}: {_shown(text)} is no text to YAML; write '{_shown(text)}', in quotes"


def _is_plain(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.style


def _shown(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}..."


def _refuse_beyond_measure(text: str) -> None:
    """Refuse what is nested or repeated without measure, and what changes the meaning of the rest: tags, %YAML."""
    sizes: dict[str, int] = {}  # of what each anchor stands for
    open_blocks: list[tuple[str | None, int]] = []  # anchor of each block that is open, and the count where it began
    count = 0
    for event in _reader().parse(text):
        if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            raise Refusals([(event.start_mark.line + 1, "a line with % changes what the file means; take it out")])
        if isinstance(event, CollectionEndEvent):
            anchor, before = open_blocks.pop()
            if anchor is not None:
                sizes[anchor] = count - before
            continue
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_blocks):
                raise Refusals([(line, f"*{_shown(event.anchor)} stands within what it stands for; write it out")])
            count += sizes.get(event.anchor, 1)
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            if event.tag is not None:
                raise Refusals([(line, f"the tag {_shown(str(event.tag))} is not taken; write the value alone")])
            count += 1
            if isinstance(event, CollectionStartEvent):
                open_blocks.append((event.anchor, count - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_blocks) > DEEPEST:
            raise Refusals([(line, f"not valid YAML: more than {DEEPEST} blocks within blocks; write them flat")])
        if count > MOST_NODES:
            raise Refusals(
                [(line, f"more than {MOST_NODES:,} keys and values, with what aliases repeat; take some out")]
            )


def _class_entries(root: Node) -> list[tuple[str, Node]]:
    lists = {key: _below(_below(root, "forget"), key) for key in ("classes", "before")}
    one = _below(_below(root, "figures"), "forget_class")
    chosen = [] if one is None or one.tag == f"{TAG}null" else [one]
    return [
        *((f"forget.{key}", node) for key, listed in lists.items() for node in _items(listed)),
        *(("figures.forget_class", node) for node in chosen),
    ]


def _items(node: Node | None) -> list[Node]:
    return node.value if isinstance(node, SequenceNode) else []


def _below(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def what_is_wrong(error: Exception) -> list[str]:
    """Return [", line 3: ..."] for what the YAML reader says in several lines."""
    if isinstance(error, Refusals):
        return error.lines
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return [f": not valid YAML: {error}"]
    line, problem = error.problem_mark.line + 1, error.problem
    began = error.context_mark.line + 1 if error.context_mark else line
    context = f" ({error.context}, which began in line {began})" if error.context and began != line else ""
    tab = "; indent by spaces, not by tabs" if "tab" in str(problem) or "start any token" in str(problem) else ""
    return [f", line {line}: not valid YAML: {problem}{context}{tab}"]
