"""What is needed to build a network again, as params.yaml or a header says it; nothing here imports timm.

A header comes from elsewhere: of its arguments those that `kwargs` lists are taken, and no others reach timm.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator

from unlearning.models.kwargs import MODEL, faults_of
from unlearning.read_back import Written


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again; written into every checkpoint."""

    name: str  # timm's
    kwargs: dict[str, Any]  # of timm.create_model
    small_stem: int | None  # stride of the 3x3 stem
    classes: int
    channels: int
    image_size: int


class WrittenArchitecture(Written):
    """An architecture as a header holds it."""

    name: str
    kwargs: dict[str, Any]
    small_stem: int | None = Field(ge=1, le=2)
    classes: int = Field(ge=1, le=1 << 20)
    channels: int = Field(ge=1, le=1 << 10)
    image_size: int = Field(ge=1, le=1 << 20)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not MODEL.fullmatch(name):
            raise ValueError("the name of an architecture of timm was expected")
        return name

    @field_validator("kwargs")
    @classmethod
    def _shape_the_network(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        wrong = next(faults_of(kwargs), None)
        if wrong is not None:
            raise ValueError(wrong)
        return kwargs
