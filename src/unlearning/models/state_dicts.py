"""Finding the weights of a model in whatever a training script saved around them."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Weights = dict[str, Tensor]
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged)([._]|$)", re.IGNORECASE)  # such as model_ema
RIVAL = 0.5  # of the best one's matches: what has so many is weights of the model too, and no accident of names


@dataclass(frozen=True)
class Found:
    """One set of weights of the model in a file."""

    name: str  # keys that lead to it and the prefix of its names, joined by dots; "" for a plain state_dict
    weights: Weights  # without the prefix
    others: Weights  # what lies beside it without the prefix: other models, losses, counters
    matches: int  # how many names are the model's

    @property
    def averaged(self) -> bool:
        """Whether its name says that it is a running average (EMA) of the weights."""
        return AVERAGED.search(self.name) is not None


def find_weights(content: Any, own: set[str]) -> list[Found]:
    """Return the sets of weights in a file's content that match most of the names `own` of the model; [] for none.

    Looked at are the content itself and what lies up to two keys below, each with any prefix that its names share.
    """
    found = [one for name, tensors in _groups(content, "", 2).items() for one in _by_prefix(name, tensors, own)]
    most = max((one.matches for one in found), default=0)
    return [one for one in found if one.matches > RIVAL * most]


def named(found: list[Found], key: str) -> Found | None:
    """Return the set of weights that `key` names: its whole name, or the beginning of one name alone."""
    exact = [one for one in found if one.name == key]
    below = [one for one in found if one.name.startswith(f"{key}.")]
    return next(iter(exact or (below if len(below) == 1 else [])), None)


def _groups(content: Any, name: str, depth: int) -> dict[str, Weights]:
    """Return {keys joined by dots: the tensors directly under them}."""
    if not isinstance(content, Mapping):
        return {}
    inner = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in inner.items() if isinstance(value, Tensor)}
    groups = {name: tensors} if tensors else {}
    if depth:
        for key, value in inner.items():
            groups |= _groups(value, f"{name}.{key}" if name else key, depth - 1)
    return groups


def _by_prefix(name: str, tensors: Weights, own: set[str]) -> list[Found]:
    """Return the set behind each prefix, of any length, that turns enough names into the model's."""
    matches = Counter(prefix for key in tensors for prefix in _prefixes(key) if key[len(prefix) :] in own)
    most = max(matches.values(), default=0)
    return [
        Found(
            ".".join(part for part in (name, prefix.rstrip(".")) if part),
            {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)},
            {key: value for key, value in tensors.items() if not key.startswith(prefix)},
            count,
        )
        for prefix, count in matches.items()
        if count > RIVAL * most
    ]


def _prefixes(key: str) -> list[str]:
    return ["", *(key[: dot.end()] for dot in re.finditer(r"\.", key))]
