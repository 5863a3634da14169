"""How the images of a whole set are read: each is looked at once, and the range of deep ones is found together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unlearning.data.image_files import refuse_broken
from unlearning.data.manifest import Manifest
from unlearning.data.parallel import mapped
from unlearning.data.reading import BadImage, Rules, is_deep_file, range_of
from unlearning.errors import InputError

Range = tuple[float, float]
Seen = tuple[Range | None, bool]


@dataclass(frozen=True)
class Survey:
    rules: Rules
    note: str  # what was found, for the user; empty where all images have 8 bits


def survey(paths: Sequence[Path], rules: Rules, key: str | None = None) -> Survey:
    """Return how these images are to be read; where the rules have no range of values, that of all of them together.

    key: of the parameter that sets the range, if one does. Raises InputError naming the first image whose header
    cannot be read, or that holds values that are no numbers, and how many more there are; and where integers and
    floating-point numbers lie in one set.
    """
    found = list(mapped(lambda path: _looked_at(path, rules), paths))
    refuse_broken([(path, reason) for path, reason in zip(paths, found, strict=True) if isinstance(reason, str)])
    deep = [path for path, is_deep in zip(paths, found, strict=True) if is_deep]
    if not deep:
        return Survey(replace(rules, value_range=None), "")
    given = rules.value_range
    low, high = given or _common_range(deep, rules, key)
    says = f"{key} says so" if given else "the lowest and the highest value in use" + f"; {key} sets others" * bool(key)
    note = f"{len(deep)} images of more than 8 bits are scaled from {low:g} (black) to {high:g} (white): {says}"
    return Survey(replace(rules, value_range=(low, high)), note)


def of_survey(manifest: Manifest, seen: Survey) -> Manifest:
    """Return a manifest for files that the survey has seen, and no stage has before."""
    low_high = seen.rules.value_range
    return replace(manifest, value_range=list(low_high) if low_high else None, told_by=None)


def _common_range(paths: list[Path], rules: Rules, key: str | None) -> Range:
    seen = list(mapped(lambda path: _seen_in(path, rules), paths))
    refuse_broken([(path, reason) for path, reason in zip(paths, seen, strict=True) if isinstance(reason, str)])
    known = [one for one in seen if not isinstance(one, str)]
    kinds = [integers for _, integers in known]
    if len(set(kinds)) > 1:
        first, other = paths[0], paths[kinds.index(not kinds[0])]
        what_to_do = f"set {key} to what is black and white in both, or convert" if key else "convert"
        raise InputError(
            f"one of {first} and {other} holds integers, the other floating-point numbers; {what_to_do} one"
        )
    ranges = [values for values, _ in known if values is not None]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0.0, 1.0)


def _looked_at(path: Path, rules: Rules) -> bool | str:
    """Return whether an image has more than 8 bits, or why it cannot be read."""
    try:
        return is_deep_file(path, rules)
    except BadImage as error:
        return str(error)


def _seen_in(path: Path, rules: Rules) -> Seen | str:
    try:
        return range_of(path, rules)
    except BadImage as error:
        return str(error)
