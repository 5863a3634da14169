"""What a reader must be told beside the numbers: why one is missing, or means less than it seems."""

from typing import Any

from unlearning.comparison.evidence import Evidence
from unlearning.data.manifest import Manifest
from unlearning.metrics.alone.collapse import Diagnostics, spread
from unlearning.metrics.beside.cka import LEAST
from unlearning.metrics.beside.h_mean import vanishing
from unlearning.params import CKA

NO_UNSEEN = "there is no test image that the model has not seen: TRA, MIA and ECE are left out"
COLLAPSED = 0.1  # of the original's effective rank, or of its spread, on the forget set: less is marked


def missing_notes(raw: dict[str, Any], manifest: Manifest) -> list[str]:
    """Return which accuracies are left out for want of images, and which classes have no part in them."""
    if manifest.forget_samples:
        return [] if raw["test_retain_acc"] is not None else [NO_UNSEEN]
    images = {
        "forget_acc": "training image to forget: FA, and all that is built on such images",
        "test_forget_acc": "test image to forget that the model has not seen: TFA and MIA",
        "test_retain_acc": "test image to keep that the model has not seen: TRA and ECE",
    }
    notes = [f"there is no {what} are left out" for key, what in images.items() if raw[key] is None]
    of_class = raw["test_acc_per_class"]
    unseen = [repr(manifest.classes[label]) for label in manifest.forget_classes if of_class[label] is None]
    if unseen and raw["test_forget_acc"] is not None:
        of_these = "it" if len(unseen) == 1 else "them"
        notes.append(
            f"TFA and MIA are without {', '.join(unseen)}: no test image of {of_these} that the model has not seen"
        )
    return notes


def cka_notes(own: Evidence, cfg: CKA) -> list[str]:
    """Return why CKA is left out, where it is."""
    count, least = len(own.shared.forget_labels), LEAST[cfg.estimator]
    return [] if count >= least else [f"cka needs {least} test images to forget ({cfg.estimator}); {count} found"]


def idi_notes(information: dict[str, Any]) -> list[str]:
    """Return why IDI is unsure."""
    return list(information.get("doubts", []))


def h_mean_notes(scores: dict[str, float]) -> list[str]:
    """Return which scores alone make H-Mean 0."""
    return [f"H-Mean is 0 because the score of {key} is 0 or below" for key in vanishing(scores)]


def collapse_notes(own: dict[str, Diagnostics], original: dict[str, Diagnostics]) -> list[str]:
    """Return a warning where the forget set's features nearly collapsed: then a low CKA says no more than that."""
    if own["forget"] is None:
        return []
    measures = {
        "effective rank of the forget set": lambda one: one["forget"]["effective_rank"],
        "variance of the forget set over that of the retain set": spread,
    }
    values = {name: (measure(own), measure(original)) for name, measure in measures.items()}
    return [
        f"collapsed: the {name} is {ours:.3g}, the original's {first:.3g}"
        for name, (ours, first) in values.items()
        if ours < COLLAPSED * first
    ]
