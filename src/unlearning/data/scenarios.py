"""Which classes to forget: one function a scenario, by the name of `forget.scenario`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unlearning.errors import InputError, did_you_mean
from unlearning.params import Forget


def forget_classes(forget: Forget, classes: list[str]) -> list[int]:
    """Return the sorted ids of the classes to forget.

    Raises InputError for an unknown scenario or class, and when no class or every class would be forgotten.
    """
    if forget.scenario not in SCENARIOS:
        hint = did_you_mean(forget.scenario, list(SCENARIOS))
        raise InputError(f"forget.scenario: {forget.scenario!r} is none of {', '.join(SCENARIOS)}{hint}")
    ids = sorted(set(SCENARIOS[forget.scenario](forget, classes)))
    if not ids:
        raise InputError("forget: no class is chosen; name at least one")
    if len(ids) >= len(classes):
        raise InputError(f"forget: all {len(classes)} classes would be forgotten; at least one must be retained")
    return ids


def _random(forget: Forget, classes: list[str]) -> list[int]:
    if forget.count >= len(classes):
        raise InputError(f"forget.count: {forget.count} of {len(classes)} classes leaves none to retain; choose fewer")
    return np.random.default_rng(forget.seed % 2**64).permutation(len(classes))[: forget.count].tolist()


def _listed(forget: Forget, classes: list[str]) -> list[int]:
    return [class_id(entry, classes, "forget.classes") for entry in forget.classes]


def _file(forget: Forget, classes: list[str]) -> list[int]:
    if forget.file is None:
        raise InputError("forget.file: the scenario 'file' needs a file with one class id or name per line")
    try:
        lines = Path(forget.file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"forget.file: cannot read {forget.file} ({error})") from None
    return [class_id(line.strip(), classes, forget.file) for line in lines if line.strip()]


def class_id(entry: int | str, classes: list[str], where: str) -> int:
    """Return the id of a class: text is a class name, or else an id in digits; a number is an id.

    Raises InputError that begins with `where`.
    """
    if isinstance(entry, str) and entry in classes:
        return classes.index(entry)
    if str(entry).isdecimal() and int(entry) < len(classes):
        return int(entry)
    hint = did_you_mean(str(entry), classes)
    raise InputError(f"{where}: no class {entry!r}{hint}; there are {len(classes)}, {classes[0]!r} to {classes[-1]!r}")


SCENARIOS: dict[str, Callable[[Forget, list[str]], list[int]]] = {"random": _random, "classes": _listed, "file": _file}
