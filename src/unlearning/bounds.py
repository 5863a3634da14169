"""What a value of params.yaml can sensibly be: a lowest and a highest number, with the reason, and what text may hold.

The bounds are wide: they refuse what cannot be meant, such as a slip of the finger that would run for ever, and no
setting that anyone has published.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

LONGEST_PATH, LONGEST_NAME = 4096, 255  # bytes, of Linux
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Within:
    """A number from `low` to `high`, both included unless it says otherwise, and why."""

    low: float
    high: float
    why: str
    above: bool = False  # low itself is not taken
    below: bool = False  # high itself is not taken

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def check(self, value: float) -> float:
        """Return the value; raises ValueError that says what was expected, and why."""
        too_low = value <= self.low if self.above else value < self.low
        too_high = value >= self.high if self.below else value > self.high
        if too_low or too_high:
            raise ValueError(f"expected {self} ({self.why})")
        return value

    def __str__(self) -> str:
        low = f"above {_readable(self.low)}, up to" if self.above else f"{_readable(self.low)} to"
        return f"{low} {'below ' if self.below else ''}{_readable(self.high)}"


def _readable(number: float) -> str:
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:g}" if abs(number) < 1e6 else f"{number:,.0f}"


def _one_line(text: str) -> str:
    found = CONTROL.search(text)
    if found:
        raise ValueError(f"it holds the control character {found[0]!r}, which no name has; take it out")
    return text


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("this is empty text; to give no value write null (-S <key>=null), or leave it out in the file")
    return text


def _as_a_file_can_be_called(text: str) -> str:
    longest = max(len(part.encode()) for part in text.split("/"))
    if len(text.encode()) > LONGEST_PATH or longest > LONGEST_NAME:
        raise ValueError(
            f"no path is this long: at most {LONGEST_PATH:,} bytes, {LONGEST_NAME} between two slashes, are possible"
        )
    return text


def _distinct(names: list[str]) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice[:60]!r} stands twice; name each layer once")
    return names


# ---- text ------------------------------------------------------------------------------------------------------------
Word = Annotated[str, Field(max_length=100), AfterValidator(_one_line)]  # a name of this program or of timm
Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_one_line)]  # of a class, which is one of a folder
FilePath = Annotated[
    str, AfterValidator(_one_line), AfterValidator(_not_empty), AfterValidator(_as_a_file_can_be_called)
]
Layers = Annotated[list[Word], Field(max_length=200), AfterValidator(_distinct)]

# ---- how often -------------------------------------------------------------------------------------------------------
Epochs = Annotated[int, Within(1, 10_000, "passes over the data; more would not end, published trainings have 1,000")]
EpochsOrNone = Annotated[int, Within(0, 10_000, "passes over the data; more would not end")]
Steps = Annotated[int, Within(1, 100_000, "steps; more would not end")]
Times = Annotated[int, Within(1, 1000, "how often it is done; more would not end")]
Companions = Annotated[int, Within(1, 1000, "batches beside each batch; published are 41 at most, more would not end")]

# ---- how many --------------------------------------------------------------------------------------------------------
BatchSize = Annotated[int, Within(2, 65_536, "images; BatchNorm needs 2, and larger batches were never trained with")]
ForwardBatch = Annotated[int, Within(1, 65_536, "images at once; more fit into no memory")]
Images = Annotated[int, Within(1, 100_000_000, "images; no data set has more")]
ImagesToJudge = Annotated[int, Within(8, 100_000_000, "images; fewer measure nothing, and no data set has more")]
Classes = Annotated[int, Within(1, 100_000, "classes; no data set has more")]
Dimensions = Annotated[int, Within(1, 65_536, "dimensions; no network has wider features")]
Neighbours = Annotated[int, Within(1, 10_000, "neighbours; more say nothing of the nearest")]
Pictures = Annotated[int, Within(1, 100, "pictures beside each other; a figure has no room for more")]
Pixels = Annotated[int, Within(4, 4096, "px; smaller images show nothing, larger ones fit into no network")]
ClassId = Annotated[int, Within(-100_000, 100_000, "a place in the list of classes, counted from 0")]
Seed = Annotated[int, Within(-(2**63), 2**63 - 1, "any whole number of 64 bits")]

# ---- how much --------------------------------------------------------------------------------------------------------
LearningRate = Annotated[
    float, Within(1e-12, 100.0, "0 and less learn nothing, and above it weights are gone after a step")
]
Momentum = Annotated[float, Within(0.0, 1.0, "at 1 old steps would never fade", below=True)]
Decay = Annotated[float, Within(0.0, 1.0, "a factor that lowers the learning rate", above=True, below=True)]
WeightDecay = Annotated[float, Within(0.0, 10.0, "above it only the penalty would be learned; 0.1 is much")]
Norm = Annotated[float, Within(0.0, 1e9, "a gradient norm; 0 would stand still, null clips none", above=True)]
Weight = Annotated[float, Within(0.0, 1e6, "weight of a part of the loss; above it float32 forgets all others")]
Temperature = Annotated[float, Within(1e-4, 1e4, "logits are divided by it: beyond, all is one class or none")]
Percent = Annotated[float, Within(0.0, 100.0, "percent")]
Points = Annotated[float, Within(1e-9, 1e6, "points of the score")]
Gigabytes = Annotated[float, Within(0.0, 100_000.0, "GB; no machine has more")]
Fraction = Annotated[float, Within(0.0, 1.0, "a share below the whole", below=True)]
Probability = Annotated[float, Within(0.0, 1.0, "a share or probability")]
Share = Annotated[float, Within(1e-6, 0.999, "a share that leaves something on both sides")]
HeldOut = Annotated[float, Within(0.01, 0.9, "a share; what is left is learned from, and a tenth is the least")]
Portion = Annotated[float, Within(0.0, 1.0, "a share above none", above=True)]
Shares = Annotated[list[Probability], Field(min_length=2, max_length=100)]
Weights = Annotated[list[Weight], Field(min_length=1, max_length=100)]
Temperatures = Annotated[list[Temperature], Field(min_length=1, max_length=20)]
Nats = Annotated[float, Within(1e-9, 100.0, "nats; two parts hold 0.7 at most")]
