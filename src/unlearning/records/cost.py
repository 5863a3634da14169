"""metrics/cost/<model>.json: what making a model took, a sealed record a seed."""

from typing import Annotated, Any

from pydantic import Field

from unlearning.read_back import Count, sealed
from unlearning.read_back import Written as _Written
from unlearning.records.chain import Chain, Record


class Cost(_Written):
    """What `Run.cost` says."""

    seconds: Annotated[float, Field(ge=0)]
    steps: Count
    samples: Count
    peak_memory_gb: Annotated[float, Field(ge=0)]
    device: str
    precision: str
    processes: Annotated[int, Field(ge=1, le=1 << 20)]


class CostRecord(Record):
    chain: Chain
    cost: Cost | None  # None: the model was given, and nobody knows


def cost_record(chain: dict[str, Any], cost: dict[str, Any] | None) -> dict[str, Any]:
    """Return the sealed record."""
    return sealed({"chain": chain, "cost": cost})
