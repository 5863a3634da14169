"""Parameters that differ from the defaults: params.yaml as it is, against the one that git has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.error import YAMLError

from unlearning.params_file import leaves
from unlearning.run_record import git
from unlearning.yaml_text import parsed

AGAINST = "params.yaml"


@dataclass(frozen=True)
class Difference:
    key: str
    default: str
    here: str
    meaning: str  # the comment behind it


@dataclass(frozen=True)
class Defaults:
    commit: str
    values: dict[str, Any]


def defaults() -> Defaults | None:
    """Return params.yaml of the last commit that came from where the repository was cloned from, else of the last one.

    So what a user has committed is still named as a difference. None where git does not know the file.
    """
    base = (git("merge-base", "HEAD", "origin/HEAD") or git("rev-parse", "HEAD") or "").strip()
    text = git("show", f"{base}:{AGAINST}") if base else None
    values = _values(text or "")
    return Defaults(base, values) if isinstance(values, dict) else None


def differences(default: Mapping[str, Any], here: Mapping[str, Any], text: str) -> list[Difference]:
    """Return the values that differ, in the order of the file, then those that are here no more.

    text: of params.yaml, for its comments.
    """
    before, after, means = dict(leaves(default)), dict(leaves(here)), meanings(text)
    keys = [*after, *(key for key in before if key not in after)]
    blocks = {key[:end] for key in keys for end in range(len(key)) if key[end] == "."}
    return [
        Difference(key, _shown(before, key), _shown(after, key), means.get(key, ""))
        for key in keys
        if before.get(key, _NONE) != after.get(key, _NONE) and key not in blocks  # empty on one side: its keys tell it
    ]


def meanings(text: str) -> dict[str, str]:
    """Return {dotted key: the comment on its line} of params.yaml."""
    path: list[tuple[int, str]] = []
    found = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            indent = len(match["indent"])
            path = [*((depth, key) for depth, key in path if depth < indent), (indent, match["key"])]
            found[".".join(key for _, key in path)] = match["comment"] or ""
    return found


_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+):(?: (?:.*?))?(?: # (?P<comment>.*))?$")


def _values(text: str) -> Any:
    try:
        return parsed(text)
    except (YAMLError, RecursionError):
        return None


_NONE = object()


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "not there"
    value = values[key]
    return "empty" if value in (None, [], {}) else str(value)
