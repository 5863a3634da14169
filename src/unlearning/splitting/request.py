"""What is to be forgotten: whole classes, or samples of any class; and which classes earlier requests have erased."""

from dataclasses import dataclass

import numpy as np

from unlearning.errors import InputError, did_you_mean
from unlearning.params import Forget
from unlearning.sources import Source
from unlearning.splitting import classes as by_class
from unlearning.splitting import samples as by_sample

SCENARIOS = (*by_class.SCENARIOS, *by_sample.SCENARIOS)


@dataclass(frozen=True)
class Request:
    classes: list[int]  # empty where samples are to be forgotten
    samples: np.ndarray  # int64 (n,), sorted positions among the source's training samples; empty for classes
    before: list[int]  # classes that were erased by earlier requests


def read_request(forget: Forget, source: Source) -> Request:
    """Return the request; raises InputError for an unknown scenario, class or sample, and when nothing is left."""
    refuse_unknown(forget)
    before = erased_before(forget, source.classes)
    if forget.scenario in by_sample.SCENARIOS:
        chosen = by_sample.forget_samples(forget, source)
        gone = [source.train.ids[position] for position in chosen if source.train.labels[position] in before]
        if gone:
            raise InputError(f"forget: the sample {gone[0]!r} is of a class of forget.before; take it off the list")
        return Request([], chosen, before)
    chosen_classes = by_class.forget_classes(forget, source.classes)
    return Request(chosen_classes, np.zeros(0, dtype=np.int64), _apart(before, chosen_classes, source.classes))


def refuse_unknown(forget: Forget) -> None:
    """Raise InputError for a scenario that there is not."""
    if forget.scenario not in SCENARIOS:
        hint = did_you_mean(forget.scenario, list(SCENARIOS))
        raise InputError(f"forget.scenario: {forget.scenario!r} is none of {', '.join(SCENARIOS)}{hint}")


def unread_lists(forget: Forget) -> list[str]:
    """Return a sentence for each list that is given, but not read by the scenario."""
    unread = {
        "classes": forget.classes and forget.scenario != "classes",
        "file": forget.file and not forget.list_file,
    }
    return [
        f"forget.{name} is not read, as forget.scenario is {forget.scenario!r}; to use the list, set that to {name!r}"
        for name, is_unread in unread.items()
        if is_unread
    ]


def erased_before(forget: Forget, classes: list[str]) -> list[int]:
    """Return the sorted ids of the classes of earlier requests."""
    return sorted({by_class.class_id(entry, classes, "forget.before") for entry in forget.before})


def _apart(before: list[int], chosen: list[int], classes: list[str]) -> list[int]:
    both = [classes[label] for label in before if label in chosen]
    if both:
        raise InputError(
            f"forget.before: {', '.join(map(repr, both))} would be forgotten by this request too; name it in one place"
        )
    if len(before) + len(chosen) >= len(classes):
        raise InputError(f"forget: of {len(classes)} classes none would be left; at least one must be retained")
    return before
