"""What the page calls what was erased, and what it asks: of whole classes, and of samples whose classes are kept."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unlearning.data.manifest import Manifest
from unlearning.page.verdict import QUESTIONS, Question


@dataclass(frozen=True)
class Wording:
    """All texts that differ between the two."""

    erased: str
    kept: str
    of_erased: str  # as the heading of a column of numbers of images
    of_kept: str
    units: tuple[str, str]  # one, and several
    questions: tuple[Question, ...]
    asks: Mapping[Question, str]

    def count(self, number: int) -> str:
        """Return a number with its unit."""
        return f"{number} {self.units[number != 1]}"


CLASSES = Wording(
    "erased classes",
    "classes to keep",
    "of erased classes",
    "of classes to keep",
    ("class", "classes"),
    QUESTIONS,
    {
        "outputs": "Does it still answer with the erased classes?",
        "features": "Do its features still hold them, beyond what a model that never saw them has?",
        "attack": "Does more come back under attack than in a model that never saw them?",
        "floor": "Is it as near to the retrained model as a second retraining is (the noise floor)?",
        "utility": "What did it lose on the classes to keep?",
    },
)
SAMPLES = Wording(
    "erased images",
    "images to keep",
    "erased",
    "to keep",
    ("training image", "training images"),
    ("outputs", "attack", "floor", "utility"),
    {
        "outputs": "Does it answer on the erased images as a model that never saw them does?",
        "attack": "Can one tell by its answers that it was once trained on them?",
        "floor": "Is it as near to the retrained model as a second retraining is (the noise floor)?",
        "utility": "What did it lose on images that it has never seen?",
    },
)


def wording(manifest: Manifest) -> Wording:
    """Return the words for what a manifest says is to be forgotten."""
    return SAMPLES if manifest.forget_samples else CLASSES


def erased_names(manifest: Manifest) -> list[str]:
    """Return the names of the erased classes, or how many images of which class were erased."""
    if not manifest.forget_samples:
        return manifest.erased
    labels = manifest.splits["train"].labels[list(manifest.forget_samples)]
    counts = np.bincount(labels, minlength=len(manifest.classes))
    return [f"{manifest.classes[label]}: {count}" for label, count in enumerate(counts) if count]
