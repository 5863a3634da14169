"""All that one model tells by itself, as pure functions of its passes over the training and the test split.

What no image is there for is None. Test images that are training images too stand in for others, but for measures that
ask for images the model has not seen.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearning.data.manifest import Manifest
from unlearning.data.samples import kept_sample
from unlearning.errors import InputError
from unlearning.evaluation.forward_pass import Pass
from unlearning.evaluation.shared import PENULTIMATE, Shared
from unlearning.metrics.alone.accuracy import per_class_accuracy, split_accuracy
from unlearning.metrics.alone.calibration import expected_calibration_error
from unlearning.metrics.alone.collapse import collapse_diagnostics
from unlearning.metrics.alone.linear_probe import fit_probe, share_of_each_class
from unlearning.metrics.alone.lira import scaled_logit
from unlearning.metrics.alone.membership import membership_inference
from unlearning.params import LinearProbe


@dataclass(frozen=True)
class Passes:
    """One model's passes over both splits, and what is known of the kept samples."""

    train: Pass
    test: Pass
    train_forget: Tensor  # bool (kept training samples,), which are to be forgotten
    test_forget: Tensor  # bool (kept test samples,)
    test_own: Tensor  # bool (kept test samples,), which are no training images
    by_samples: bool = False  # whether samples are to be forgotten, and not classes

    @property
    def unseen(self) -> Tensor:
        """Which kept test samples, bool, no model has seen and are like those to forget: of their classes, or any."""
        return self.test_own if self.by_samples else self.test_forget & self.test_own

    @property
    def asked(self) -> tuple[Pass, Tensor]:
        """The images that models are compared on: test images of the classes, or the forgotten samples themselves."""
        return (self.train, self.train_forget) if self.by_samples else (self.test, self.test_forget)


def with_masks(train: Pass, test: Pass, manifest: Manifest) -> Passes:
    """Return the passes with their masks.

    Raises InputError naming a split of which no retained image was looked at, or none to forget though it has some.
    """
    masks = []
    for name, split, one in (("training", "train", train), ("test", "test", test)):
        forget = torch.from_numpy(manifest.to_forget(split))[one.positions]
        missed = not forget.any() and len(manifest.select(split, "forget"))
        if forget.all() or missed:
            kind = "forgotten" if missed else "retained"
            raise InputError(
                f"the {name} split has no {kind} image among the {len(forget)} looked at; add images, "
                "choose other classes (forget:), or raise evaluate.max_samples"
            )
        masks.append(forget)
    train_forget, test_forget = masks
    own = torch.from_numpy(manifest.own("test"))[test.positions]
    return Passes(train, test, train_forget, test_forget, own, bool(manifest.forget_samples))


def accuracies(passes: Passes, manifest: Manifest) -> dict[str, Any]:
    """Return FA, RA, TFA, TRA and the accuracy of each class on both splits, percent.

    "judged": of the images that attacks are judged by, before any attack: of the test split, stand-ins included.
    """
    train, test, classes, own = passes.train, passes.test, len(manifest.classes), manifest.own("test")
    of_train, of_test = (torch.from_numpy(manifest.to_forget(split)) for split in ("train", "test"))
    forget_acc, retain_acc = split_accuracy(train.predictions, train.labels, of_train)
    predictions, labels = test.predictions[own], test.labels[own]
    test_forget_acc, test_retain_acc = split_accuracy(predictions, labels, of_test[own])
    judged = split_accuracy(test.predictions, test.labels, of_test)
    return {
        "forget_acc": forget_acc,
        "retain_acc": retain_acc,
        "test_forget_acc": test_forget_acc,
        "test_retain_acc": test_retain_acc,
        "judged": dict(zip(("forget", "retain"), judged, strict=True)),
        "train_acc_per_class": per_class_accuracy(train.predictions, train.labels, classes),
        "test_acc_per_class": per_class_accuracy(predictions, labels, classes),
    }


def linear_probes(passes: Passes, classes: int, cfg: LinearProbe, seed: int, device: torch.device) -> dict[str, Any]:
    """Return test forget and retain accuracy of probes on all, on few training images, and on each layer, percent."""
    labels = passes.train.kept_labels
    few = share_of_each_class(labels, cfg.small_fraction, seed)
    some = torch.from_numpy(probed_rows(len(labels), cfg, seed))

    def probe(layer: str, fitted: Tensor | slice) -> dict[str, float | None]:
        head = fit_probe(passes.train.of_layer(layer, fitted), labels[fitted], classes, cfg.l2, cfg.steps, device)
        asked, answers = passes.test.features[layer], passes.test.kept_labels
        forget = passes.test_forget
        return {
            "forget": head.accuracy(asked[forget], answers[forget]),
            "retain": head.accuracy(asked[~forget], answers[~forget]),
        }

    return {
        "all": probe(PENULTIMATE, slice(None)),
        "small": probe(PENULTIMATE, few),
        "layers": {layer: probe(layer, some) for layer in passes.train.features},
    }


def probed_rows(kept: int, cfg: LinearProbe, seed: int) -> np.ndarray:
    """Return which of the kept training samples, sorted, a layer's probe is fitted on."""
    return kept_sample(kept, cfg.layer_samples, seed)


def membership(passes: Passes, seed: int) -> dict[str, dict[str, float]] | None:
    """Return the membership attacks on the forgotten images; None where there are too few images."""
    train, test, others = passes.train, passes.test, passes.unseen
    attacks = membership_inference(
        (train.logits[passes.train_forget], train.kept_labels[passes.train_forget]),
        (test.logits[others], test.kept_labels[others]),
        seed,
    )
    return None if attacks is None else {name: asdict(result) for name, result in attacks.items()}


def diagnostics(passes: Passes) -> dict[str, Any]:
    """Return collapse diagnostics of the test forget and retain set, and the calibration error on the latter."""
    test, forget, unseen = passes.test, passes.test_forget, ~passes.test_forget & passes.test_own
    features = test.features[PENULTIMATE]
    return {
        "collapse": {
            "forget": collapse_diagnostics(features[forget], test.logits[forget]) if forget.any() else None,
            "retain": collapse_diagnostics(features[~forget], test.logits[~forget]),
        },
        "calibration_error": expected_calibration_error(test.logits[unseen], test.kept_labels[unseen])
        if unseen.any()
        else None,
    }


def shared_of(passes: Passes, max_samples: int, seed: int) -> Shared:
    """Return what the comparison needs: of the images to compare on, and samples of the training and the test split."""
    train, test, unseen, train_forget = passes.train, passes.test, passes.unseen, passes.train_forget
    asked, forget = passes.asked
    some_train, some_test = (
        torch.from_numpy(kept_sample(len(one.positions), max_samples, seed)) for one in (train, test)
    )
    forget_logits, forget_labels = asked.logits[forget], asked.kept_labels[forget]
    return Shared(
        {layer: asked.of_layer(layer, forget.nonzero()[:, 0]) for layer in asked.features},
        forget_logits,
        forget_labels,
        test.features[PENULTIMATE][some_test],
        test.kept_labels[some_test],
        test.positions[some_test],
        train.features[PENULTIMATE][some_train],
        train.logits[some_train],
        train.kept_labels[some_train],
        train.positions[train_forget],
        scaled_logit(train.logits[train_forget], train.kept_labels[train_forget]),
        test.positions[unseen],
        scaled_logit(test.logits[unseen], test.kept_labels[unseen]),
    )
