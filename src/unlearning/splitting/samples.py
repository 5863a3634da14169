"""Which samples to forget, where it is samples and not classes: one function a scenario, by its name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unlearning.data.text_lists import lines_of
from unlearning.errors import InputError, did_you_mean
from unlearning.params import Forget
from unlearning.sources import Source


def forget_samples(forget: Forget, source: Source) -> np.ndarray:
    """Return the sorted positions, int64 (n,), of the samples to forget among the source's training samples.

    Raises InputError for an id that no training sample has, and when no sample, or each one of a class, would be
    forgotten.
    """
    chosen = np.unique(SCENARIOS[forget.scenario](forget, source))
    if not len(chosen):
        raise InputError(f"forget: no sample is chosen of {len(source.train.ids)}; raise forget.share, or name some")
    labels = source.train.labels
    left = np.bincount(np.delete(labels, chosen), minlength=len(source.classes))
    for label in np.unique(labels[chosen]):
        if not left[label]:
            raise InputError(
                f"forget: every training image of {source.classes[label]!r} would be forgotten; to erase a class, set "
                "forget.scenario: classes"
            )
    return chosen


def _samples(forget: Forget, source: Source) -> np.ndarray:
    """Take the ids that `forget.file` lists or, without a file, a random share of all classes together."""
    ids = source.train.ids
    if forget.file is None:
        order = np.random.default_rng(forget.seed % 2**64).permutation(len(ids))
        return order[: round(forget.share * len(ids))]
    places = {name: position for position, name in enumerate(ids)}
    lines = lines_of(Path(forget.file), "forget.file")
    return np.array([_place(line, places, forget.file) for line in lines if line.strip()], int)


def _place(line: str, places: dict[str, int], where: str) -> int:
    name = line.strip()
    if name not in places:
        known = list(places)
        hint = did_you_mean(name, known) if len(known) <= MOST_COMPARED else ""
        raise InputError(
            f"{where}: no training image {name!r}{hint}; ids look like {known[0]!r} (data/split/manifest.json)"
        )
    return places[name]


MOST_COMPARED = 10_000  # ids: among more, looking for the nearest takes longer than reading the message

SCENARIOS: dict[str, Callable[[Forget, Source], np.ndarray]] = {"samples": _samples}
