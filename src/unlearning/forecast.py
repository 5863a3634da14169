"""How far a run of the pipeline is, and how long the rest will take: from the time each stage took here before.

`.scratch/seconds.json` holds them: the seconds of wall time between the starts of a stage and of the next, with a hash
of the parameters that they hold for. Nothing depends on the file, and it is as good as empty where it cannot be read.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from unlearning.errors import InputError
from unlearning.files import write_json

TIMES = Path(".scratch/seconds.json")
Times = dict[str, dict[str, Any]]  # stage: its `seconds`, and the `key` of the parameters


def key_of(values: dict[str, Any]) -> str:
    """Return a hash of the parameters on which a stage's time depends, and of how stages are started."""
    text = json.dumps([values, os.environ.get("LAUNCH", "")], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Forecast:
    """The stages that will run, in their order, and what is known of their times."""

    def __init__(self, keys: dict[str, str], times: Times) -> None:
        """keys: {stage: hash of its parameters} of the stages that will run."""
        self.keys, self.times = keys, times
        self.order = list(keys)

    def line(self, stage: str) -> str:
        """Return what is said when a stage starts: its number, and the time that it and those after it will take."""
        if stage not in self.keys:
            return f"one stage more: {stage}"
        place = self.order.index(stage)
        left = time_left(self.seconds(name) for name in self.order[place:])
        return f"stage {place + 1} of {len(self.order)}: {stage}{left and ', '}{left}"

    def seconds(self, stage: str) -> tuple[float | None, bool]:
        """Return how long a stage will take and whether it was itself timed; else it is as others of its kind."""
        known = self.times.get(stage)
        if known is not None and known["key"] == self.keys[stage]:
            return known["seconds"], True
        alike = [
            known["seconds"]
            for name, known in self.times.items()
            if kind_of(name) == kind_of(stage) and known["key"] == self.keys.get(name)
        ]
        return (fmean(alike) if alike else None), False

    def note(self, stage: str, seconds: float) -> None:
        """Keep how long a stage has taken."""
        self.times[stage] = {"seconds": round(seconds, 1), "key": self.keys.get(stage, "")}
        with suppress(InputError, PermissionError):
            write_json(TIMES, self.times)


def known_times() -> Times:
    """Return the times of earlier runs."""
    try:
        found = json.loads(TIMES.read_text(encoding="utf-8"))
        return {stage: {"seconds": float(one["seconds"]), "key": str(one["key"])} for stage, one in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def kind_of(stage: str) -> str:
    """Return what a stage does: `evaluate`, of `evaluate@ec` and of `evaluate_reference@original`."""
    return re.split("[@_]", stage)[0]


def time_left(stages: Iterable[tuple[float | None, bool]]) -> str:
    """Return how long these stages will take, and how sure that is; an empty string where nothing is known."""
    given = list(stages)
    known = [seconds for seconds, _ in given if seconds is not None]
    if not known:
        return ""
    sure = "at least" if len(known) < len(given) else "about" if all(timed for _, timed in given) else "roughly"
    return f"{sure} {readable(sum(known))} left in all"


def readable(seconds: float) -> str:
    """Return a time as people say it, rounded up: 40 s, 3 min, 2.5 h."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{math.ceil(seconds / 360) / 10} h"
