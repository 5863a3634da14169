"""Which classes to forget: one function a scenario, by the name of `forget.scenario`."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unlearning.data.class_names import WORDNET_ID, look, wordnet_id
from unlearning.data.text_lists import lines_of
from unlearning.errors import InputError, did_you_mean
from unlearning.params import Forget

PLACE = re.compile("0|[1-9][0-9]{0,8}")  # 007 is a name: YAML takes 010 for 8; of more digits there is no place
QUOTED = re.compile("""'.*'|".*\"""")
COMMENT = re.compile(r"(^|\s)#.*")


def forget_classes(forget: Forget, classes: list[str]) -> list[int]:
    """Return the sorted ids of the classes to forget.

    Raises InputError for an unknown class, and when no class or every class would be forgotten.
    """
    ids = sorted(set(SCENARIOS[forget.scenario](forget, classes)))
    if not ids:
        raise InputError("forget: no class is chosen; name at least one")
    if len(ids) >= len(classes):
        raise InputError(f"forget: all {len(classes)} classes would be forgotten; at least one must be retained")
    return ids


def repeated_classes(forget: Forget, classes: list[str]) -> list[str]:
    """Return a sentence for each class that is chosen more than once; raises InputError like `forget_classes`."""
    counts = Counter(SCENARIOS[forget.scenario](forget, classes))
    where = forget.file if forget.scenario == "file" else f"forget.{forget.scenario}"
    return [f"{where}: {classes[label]!r} is named {n} times" for label, n in sorted(counts.items()) if n > 1]


def _random(forget: Forget, classes: list[str]) -> list[int]:
    if forget.count >= len(classes):
        raise InputError(f"forget.count: {forget.count} of {len(classes)} classes leaves none to retain; choose fewer")
    return np.random.default_rng(forget.seed % 2**64).permutation(len(classes))[: forget.count].tolist()


def _listed(forget: Forget, classes: list[str]) -> list[int]:
    return [class_id(entry, classes, "forget.classes") for entry in forget.classes]


def _file(forget: Forget, classes: list[str]) -> list[int]:
    if forget.file is None:
        raise InputError("forget.file: the scenario 'file' needs a file with one class id or name per line")
    entries = [_entry(line, classes) for line in lines_of(Path(forget.file), "forget.file")]
    return [class_id(entry, classes, forget.file) for entry in entries if entry != ""]


def _entry(line: str, classes: list[str]) -> int | str:
    """Return what a line says, as the entry of `forget.classes` that would say it; empty where it says nothing."""
    text = line.strip()
    if not _named(text, classes):
        text = COMMENT.sub("", text).strip()
    if QUOTED.fullmatch(text):
        return text[1:-1]
    return int(text) if PLACE.fullmatch(text) else text


def class_id(entry: int | str, classes: list[str], where: str) -> int:
    """Return the id of a class, its place in the list from 0: text is a class name, or else a place in digits.

    A number is a place, or a name in digits where only one of them is a class or both are the same one. Names are
    compared as they look: Unicode composed, without surrounding space. Raises InputError that begins with `where`.
    """
    named = _named(str(entry), classes)
    if len(named) > 1:
        raise InputError(f"{where}: {_alike(named, classes)}")
    if named and isinstance(entry, str):
        return named[0]
    number = int(entry) if PLACE.fullmatch(str(entry)) else None
    readings = {label: f"{classes[label]!r} by name" for label in named or _numbered(number, classes)}
    if number is not None and number < len(classes):
        readings.setdefault(number, f"{classes[number]!r} at place {number} of the class list, counted from 0")
    if not readings:
        hint = did_you_mean(str(entry), classes)
        span = f"{classes[0]!r} to {classes[-1]!r}"
        raise InputError(f"{where}: no class {entry!r}{hint}; there are {len(classes)}, {span}")
    if len(readings) > 1:
        raise InputError(f"{where}: {entry} can be {' or '.join(readings.values())}; write the name meant, in quotes")
    return next(iter(readings))


def _named(name: str, classes: list[str]) -> list[int]:
    """Return the ids of the classes whose names look like this one, or begin with it where it is a WordNet id."""
    same = [label for label, other in enumerate(classes) if look(other) == look(name)]
    if same or not WORDNET_ID.fullmatch(look(name)):
        return same
    return [label for label, other in enumerate(classes) if wordnet_id(other) == look(name)]


def _numbered(number: int | None, classes: list[str]) -> list[int]:
    """Return the ids of the classes whose names are this number with leading zeros: 007 of 7."""
    return [label for label, name in enumerate(classes) if name.isdecimal() and int(name) == number]


def _alike(labels: list[int], classes: list[str]) -> str:
    """Say in what classes differ that look the same, and what to do."""
    in_space = len({unicodedata.normalize("NFC", classes[label]) for label in labels}) > 1
    in_letters = len({classes[label].strip() for label in labels}) > 1
    differ = ["surrounding space"] * in_space + ["Unicode normalisation (NFC, NFD)"] * in_letters
    shown = [f"{(ascii if in_letters else repr)(classes[label])} at place {label}" for label in labels]
    what_to_do = "rename one, or write the place, counted from 0, of the one meant"
    return f"{' and '.join(shown)} look the same and differ in {' and '.join(differ)}; {what_to_do}"


SCENARIOS: dict[str, Callable[[Forget, list[str]], list[int]]] = {"random": _random, "classes": _listed, "file": _file}
