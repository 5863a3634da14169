"""Where the numbers come from: commit, date, software, images, and the files of the models."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from unlearning import run_record
from unlearning.data.manifest import SPLITS, Manifest
from unlearning.files import sha256_of
from unlearning.models.header import header_of

MODELS = Path("models")
PACKAGES = ("torch", "torchvision", "timm", "dvc")


@dataclass(frozen=True)
class ModelFile:
    model: str
    seed: int
    sha256: str
    made_by: str  # the stage; "" where the header does not say
    source: str  # name and SHA-256 of the file it was taken from; "" where it was trained here


@dataclass(frozen=True)
class Images:
    """How many images of a split there are."""

    split: str
    erased: int
    kept: int
    borrowed: int  # of both: training images that stand in


def commit() -> str:
    """Return the commit, and whether code or parameters differ from it; a sentence where there is none."""
    found = run_record.commit()
    if found is None:
        return "unknown: not run in a git repository"
    return found + (", with changes that were not committed" if run_record.is_dirty() else "")


def now() -> str:
    """Return the time of the comparison: date, hours and minutes in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def software() -> str:
    """Return the versions of Python and of what computes."""
    found = [f"{name} {number}" for name in PACKAGES if (number := _version(name))]
    return ", ".join([f"Python {platform.python_version()}", *found])


def images_of(manifest: Manifest) -> list[Images]:
    """Return the number of images of each split."""
    return [
        Images(
            name,
            len(manifest.select(name, "forget")),
            len(manifest.select(name, "retain")),
            len(manifest.splits[name].borrowed),
        )
        for name in SPLITS
        if name in manifest.splits
    ]


def model_files(models: Iterable[str], seeds: Iterable[int]) -> list[ModelFile]:
    """Return the file of each model and seed that is there, with its hash."""
    paths = {(name, seed): MODELS / name / f"{seed}.safetensors" for name in models for seed in seeds}
    return [_model_file(name, seed, path) for (name, seed), path in paths.items() if path.is_file()]


def _model_file(name: str, seed: int, path: Path) -> ModelFile:
    header = header_of(path)
    made_by, source = (header.stage, header.source or "") if header else ("", "")
    return ModelFile(name, seed, sha256_of(path), made_by, source)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
