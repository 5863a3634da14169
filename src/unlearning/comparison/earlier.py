"""The classes that earlier requests erased, measured again: every model beside the model as it was given."""

from collections.abc import Mapping
from dataclasses import dataclass

from unlearning.data.manifest import Manifest
from unlearning.over_seeds import Summary


@dataclass(frozen=True)
class Earlier:
    classes: list[str]
    test_images: int  # of these classes; those that stand in among them
    models: Mapping[str, Summary]  # on these classes; empty where no image of them is left


def earlier_of(manifest: Manifest, models: Mapping[str, Summary]) -> Earlier:
    """Return what was found; manifest: in which the classes erased before are those to forget."""
    return Earlier(manifest.erased, len(manifest.select("test", "forget")), models)
