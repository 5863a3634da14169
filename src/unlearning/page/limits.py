"""What the numbers cannot say, and how many images stand behind each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unlearning.data.manifest import Manifest
from unlearning.over_seeds import Summary
from unlearning.page.verdict import LEAST_IMAGES
from unlearning.params import CONTROLS, Params, is_audited

ALWAYS = (
    "The numbers say what these measures and attacks found on these images. They do not prove that nothing is left: "
    "a stronger attack, or other images, may find more.",
    "The words follow fixed rules and thresholds (docs/metrics.md, “The verdict”). They are no legal finding.",
    "Only the files of models that are listed below, by their hashes, were judged. Copies of the images, of the "
    "original model and of other models are where they were put; nothing here looks for them or deletes them.",
)
ONE_SEED = (
    "There is one seed: every number is a single draw. How much another repetition would differ is not known, so no "
    "difference is more than an observation."
)
FEW_SEEDS = (
    "There are {count} repetitions. A difference counts where each of them, or a paired t-test over them, confirms it; "
    "so few repetitions miss small differences."
)
NO_RETRAINED = (
    "There is no retrained model. What a model that never saw the classes would answer, keep in its features, or give "
    "back to an attacker is not known: words that need it are left out."
)
SHORT_RUN = (
    "A short run without the classes stands in for a retrained model under attack: a model that gives back no more has "
    "kept no more; one that gives back more may still be as good as retrained."
)
NO_CONTROL = (
    "No control (a model in which nothing was erased but the last layer's answers) is in this run: that the measures "
    "would expose one was not tested here."
)
FEW_IMAGES = (
    "Of the erased classes there are {count} test images. With fewer than {least} nothing is said of features and "
    "attacks."
)
BORROWED = (
    "{count} images of the test split are training images that stand in where unseen ones are missing. They judge "
    "attacks and features, and are not counted in TFA, TRA and membership inference."
)
UNSEEN = "There is no unseen image of an erased class: whether the model recognises new images of it was not measured."
AUDITED = (
    "Made elsewhere: {names}. By what method, from which model and with which images is not known here; what is "
    "left in them was measured as in every other."
)
COLLAPSED = (
    "The features of the erased classes have nearly collapsed in {names}: a low CKA says nothing there, and the "
    "collapse itself can be seen by who has the weights."
)
NOT_TEST = (
    "Judged on the {split} images (evaluate.split): they stand wherever this page says test. A result needs the test "
    "images, looked at once."
)
OF_SAMPLES = (
    "Images were erased whose classes are kept. What speaks for a model are its answers on them and attacks that ask "
    "whether they were trained on; what its features keep of single images was not looked into."
)
FEW_SAMPLES = "{count} images were erased. With fewer than {least} nothing is said of answers and attacks."
UNSURE = "With {count} test images of the erased classes, one image is {points:.1f} points of any accuracy on them."


@dataclass(frozen=True)
class Basis:
    """How many images there are of what."""

    train_erased: int
    train_kept: int
    test_erased: int  # those that stand in among them
    unseen_erased: int
    unseen_kept: int
    borrowed: int
    seeds: int
    by_samples: bool  # whether samples were erased, and not classes
    split: str  # whose images are called test

    @classmethod
    def of(cls, manifest: Manifest, params: Params) -> "Basis":
        """Count the images of a split."""
        own = manifest.own("test")
        erased, kept = (manifest.select("test", part) for part in ("forget", "retain"))
        return cls(
            len(manifest.select("train", "forget")),
            len(manifest.select("train", "retain")),
            len(erased),
            int(np.count_nonzero(own[erased])),
            int(np.count_nonzero(own[kept])),
            int(np.count_nonzero(~own)),
            len(params.seeds),
            bool(manifest.forget_samples),
            params.evaluate.split,
        )


def limits(models: Mapping[str, Summary], basis: Basis) -> list[str]:
    """Return what the numbers of this run cannot say, the most important first."""
    collapsed = [name for name, one in models.items() if one.mean["collapsed"]]
    audited = [name for name in models if is_audited(name)]
    cases = [
        (basis.split != "test", NOT_TEST.format(split=basis.split)),
        (True, ALWAYS[0]),
        ("retrained" not in models, NO_RETRAINED),
        ("retrained" not in models and "short_run" in models, SHORT_RUN),
        (basis.seeds == 1, ONE_SEED),
        (1 < basis.seeds < ENOUGH_SEEDS, FEW_SEEDS.format(count=basis.seeds)),
        *(_of_samples(basis) if basis.by_samples else _of_classes(basis)),
        (basis.borrowed > 0, BORROWED.format(count=basis.borrowed)),
        (bool(collapsed), COLLAPSED.format(names=", ".join(collapsed))),
        (not basis.by_samples and not any(name in models for name in CONTROLS), NO_CONTROL),
        (bool(audited), AUDITED.format(names=", ".join(audited))),
        *((True, text) for text in ALWAYS[1:]),
    ]
    return [text for holds, text in cases if holds]


def _of_classes(basis: Basis) -> list[tuple[bool, str]]:
    return [
        (basis.unseen_erased == 0, UNSEEN),
        (basis.test_erased < LEAST_IMAGES, FEW_IMAGES.format(count=basis.test_erased, least=LEAST_IMAGES)),
        (
            LEAST_IMAGES <= basis.test_erased < 100 * LEAST_IMAGES,
            UNSURE.format(count=basis.test_erased, points=100 / max(basis.test_erased, 1)),
        ),
    ]


def _of_samples(basis: Basis) -> list[tuple[bool, str]]:
    return [
        (True, OF_SAMPLES),
        (basis.train_erased < LEAST_IMAGES, FEW_SAMPLES.format(count=basis.train_erased, least=LEAST_IMAGES)),
    ]


ENOUGH_SEEDS = 6  # fewer are too few for the t-test to see small differences


def behind(basis: Basis, params: Params) -> list[tuple[str, str]]:
    """Return the number of images behind each figure."""
    asked = params.attacks.max_samples
    if basis.by_samples:
        return [
            ("FA, RA", f"{basis.train_erased} and {basis.train_kept} training images: all"),
            ("TRA, ECE", f"{basis.unseen_kept} test images: all unseen ones"),
            ("CKA, JS", f"the erased images among at most {params.evaluate.max_samples} training images"),
            (
                "Membership inference",
                f"{min(basis.train_erased, basis.unseen_kept)} of the erased and as many unseen test images",
            ),
        ]
    return [
        ("FA, RA", f"{basis.train_erased} and {basis.train_kept} training images: all"),
        ("TFA, TRA, ECE", f"{basis.unseen_erased} and {basis.unseen_kept} test images: all unseen ones"),
        (
            "CKA, IDI, JS, linear probe, head recovery",
            f"of at most {params.evaluate.max_samples} images of each split, IDI of at most "
            f"{params.mutual_information.max_samples}, half of them of erased classes",
        ),
        (
            "Prototype, relearning, retain only, BatchNorm",
            f"{min(asked, basis.test_erased)} test images of erased classes, at most {asked} of those to keep",
        ),
        (
            "Membership inference",
            f"{min(basis.train_erased, basis.unseen_erased)} training and as many unseen test images of erased classes",
        ),
    ]
