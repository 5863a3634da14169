"""The header of a checkpoint as the file holds it, read without timm, which takes seconds to load."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from unlearning.data.written import classes_known
from unlearning.errors import InputError
from unlearning.models.architecture import WrittenArchitecture
from unlearning.read_back import Count, Hash, Origin, opened, read_text_as_json
from unlearning.sealed_tensors import HEADER, TensorHeader, header_text

FORMAT = "unlearning-2"
CHECKPOINTS = Path("models")
ShortHash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
STAGES = {"original": "train@original", "retrained": "train@retrained", "short_run": "train@short_run"} | {
    "ec_modules": "pretrain_ec"
}

__all__ = ["CHECKPOINTS", "FORMAT", "HEADER", "WrittenHeader", "header_of", "origin_of"]


class WrittenHeader(TensorHeader):
    """The fields of `checkpoint.Header`, with the form they are in and the hash of the weights."""

    format: str
    architecture: WrittenArchitecture
    classes: Annotated[list[str], Field(min_length=1)]
    forget_classes: list[Count]
    mean: list[float]
    std: list[Annotated[float, Field(gt=0)]]
    split: ShortHash
    stage: str
    params: dict[str, Any]
    source: str | None
    forget_samples: ShortHash | None
    erased_before: list[Count]
    seed: Count | None
    came_from: Hash | None
    original: Hash | None

    @model_validator(mode="after")
    def _fits_together(self) -> "WrittenHeader":
        classes_known(list(range(len(self.classes))), "classes", self.classes)
        for key in ("forget_classes", "erased_before"):
            classes_known(getattr(self, key), key, self.classes)
        if len(self.classes) != self.architecture.classes:
            raise ValueError(f"{len(self.classes)} classes, the network has {self.architecture.classes} outputs")
        if not len(self.mean) == len(self.std) == self.architecture.channels:
            raise ValueError(f"mean and std: {self.architecture.channels} numbers each were expected, one a channel")
        return self


def header_of(path: Path) -> WrittenHeader | None:
    """Return a checkpoint's header, or None for a file that this pipeline did not write.

    Raises InputError when there is no file, or the header is damaged or of another version.
    """
    origin = origin_of(path)
    text = header_text(path, origin)
    if text is None:
        return None
    fields = read_text_as_json(text, path, origin)
    if isinstance(fields, dict) and fields.get("format", FORMAT) != FORMAT:
        raise InputError(f"{path} was written by another version of this pipeline; rebuild it with `dvc repro --force`")
    return opened(fields, WrittenHeader, path, origin, "header")


def origin_of(path: Path) -> Origin:
    """Return which stage writes the checkpoint, by its place; of a file elsewhere nobody can say."""
    name, ours = path.parent.name, path.parent.parent.name == CHECKPOINTS.name
    return Origin("a checkpoint of this pipeline", STAGES.get(name, f"unlearn@{name}") if ours else None)
