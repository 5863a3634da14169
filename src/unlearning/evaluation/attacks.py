"""What the attacks share: the images an attacker draws, those he is judged by, and how the draws are summed up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

import numpy as np
import torch
from torch import Tensor, nn

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import Manifest
from unlearning.data.samples import kept_sample
from unlearning.engine.launch import Launch
from unlearning.engine.validation import accuracy, eval_mode
from unlearning.errors import InputError
from unlearning.evaluation.numbers import Passes
from unlearning.evaluation.shared import PENULTIMATE
from unlearning.metrics.alone.prototype import Ground, Head, class_means, ground, imprinted
from unlearning.models.backbone import classifier_of
from unlearning.params import Attacks, Prototype
from unlearning.seeds import derive_seed

Curves = dict[str, dict[int, float | None]]  # "forget", "retain" and their deviations: {images a class: percent}


@dataclass(frozen=True)
class Outcome:
    """What a model answers rightly after an attack, percent of the test images that attacks are judged by."""

    forget: float | None  # None: there is no such image to forget
    retain: float


@dataclass(frozen=True)
class Target:
    """The model under attack, what its passes kept of the training images, and the test images it is judged by."""

    model: nn.Module  # attacks change copies of it
    head: Head
    manifest: Manifest  # to be forgotten are the classes that attackers have images of
    features: Tensor  # float32 (n, d), penultimate, of the kept training images
    labels: Tensor  # int64 (n,)
    positions: Tensor  # int64 (n,), within the training split
    test_features: Tensor  # float32 (m, d)
    test_labels: Tensor  # int64 (m,)
    test_positions: Tensor  # int64 (m,), within the test split
    test_forget: Tensor  # bool (m,)
    train: ImageSplit
    test: ImageSplit
    launch: Launch

    def ground(self, head: Head) -> Ground:
        """Return what imprinting into a head needs."""
        return ground(head, self.features, self.labels, self.manifest.forget_classes)

    def outcome_of_head(self, head: Head) -> Outcome:
        """Return the outcome of another head on the model's own features."""
        features, labels = self.test_features, self.test_labels
        forget, retain = (head.accuracy(features[part], labels[part]) for part in (self.test_forget, ~self.test_forget))
        assert retain is not None  # with_masks refuses a split without retained images
        return Outcome(forget, retain)

    def outcome(self, model: nn.Module) -> Outcome:
        """Return the outcome of an attacked copy, by passes over the test images."""
        forget, retain = (self.test_positions[part].numpy() for part in (self.test_forget, ~self.test_forget))
        with eval_mode(model), self.launch.autocast():
            back = accuracy(model, self.test, forget, self.launch) if len(forget) else None
            return Outcome(back, accuracy(model, self.test, retain, self.launch))


def target(
    model: nn.Module,
    manifest: Manifest,
    passes: Passes,
    train: ImageSplit,
    test: ImageSplit,
    cfg: Attacks,
    launch: Launch,
) -> Target:
    """Return the target, judged by at most `cfg.max_samples` of the kept test images of each part.

    A class of which there is no training image at all is left out of what attackers try to bring back.
    """
    attacked = [label for label in manifest.forget_classes if label in manifest.splits["train"].labels]
    parts = (passes.test_forget.nonzero()[:, 0], (~passes.test_forget).nonzero()[:, 0])
    asked = torch.cat([part[torch.from_numpy(kept_sample(len(part), cfg.max_samples, cfg.seed))] for part in parts])
    return Target(
        model,
        head_of(model),
        replace(manifest, forget_classes=attacked),
        passes.train.features[PENULTIMATE],
        passes.train.kept_labels,
        passes.train.positions,
        passes.test.features[PENULTIMATE][asked],
        passes.test.kept_labels[asked],
        passes.test.positions[asked],
        passes.test_forget[asked],
        train,
        test,
        launch,
    )


def head_of(model: nn.Module) -> Head:
    """Return a copy of the model's classifier on the CPU; one without a bias has zeros there."""
    linear = classifier_of(model)
    assert isinstance(linear, nn.Linear)
    weight = linear.weight.detach().float().cpu().clone()
    bias = torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float().cpu().clone()
    return Head(weight, bias)


def numbers_of_images(victim: Target, attacks: Attacks) -> list[int]:
    """Return the numbers of images a class to attack with; none where there is none to take, or to judge by."""
    return attacks.shots if victim.manifest.forget_classes and victim.test_forget.any() else []


def few_shots(labels: Tensor, manifest: Manifest, shots: int, *seed: int | str) -> Tensor:
    """Return sorted places among the labels: `shots` images of each forgotten class and as many retained ones in all.

    The images for a smaller number are among those for a larger one; a class with fewer gives all it has. Raises
    InputError naming a class that has none.
    """
    order = torch.from_numpy(np.random.default_rng(derive_seed(*seed, "few shots")).permutation(len(labels)))
    shuffled = labels[order]
    forget = [order[shuffled == label][:shots] for label in manifest.forget_classes]
    for label, images in zip(manifest.forget_classes, forget, strict=True):
        if not len(images):
            raise InputError(
                f"no training image of {manifest.classes[label]!r}, a class to be forgotten, is among the "
                f"{len(labels)} kept; raise evaluate.max_samples, or leave the attacks out (attacks.shots: [])"
            )
    retain = order[~torch.isin(shuffled, torch.tensor(manifest.forget_classes))]
    return torch.cat([*forget, retain[: sum(map(len, forget))]]).sort().values


def drawn_means(victim: Target, places: Tensor) -> Tensor:
    """Return the mean feature (f, d) of the drawn images of each forgotten class."""
    classes = torch.tensor(victim.manifest.forget_classes)
    return class_means(victim.features[places], victim.labels[places], classes)


def prototype_curves(victim: Target, attacks: Attacks, cfg: Prototype) -> Curves:
    """Return what imprinted head rows give back, for each number of images; nothing is trained."""
    shots_tried = numbers_of_images(victim, attacks)
    if not shots_tried:
        return curves({})
    on = victim.ground(victim.head)

    def attack(shots: int, draw: int) -> Outcome:
        places = few_shots(victim.labels, victim.manifest, shots, attacks.seed, draw)
        return victim.outcome_of_head(imprinted(on, drawn_means(victim, places), cfg.false_alarms))

    return curves({shots: [attack(shots, draw) for draw in range(cfg.draws)] for shots in shots_tried})


def curves(outcomes: Mapping[int, Sequence[Outcome]]) -> Curves:
    """Return means and sample standard deviations over the draws; the latter None for a single draw."""

    def column(part: str, summary: str) -> dict[int, float | None]:
        values = {shots: [getattr(one, part) for one in draws] for shots, draws in outcomes.items()}
        if summary == "mean":
            return {shots: mean(drawn) for shots, drawn in values.items()}
        return {shots: stdev(drawn) if len(drawn) > 1 else None for shots, drawn in values.items()}

    return {
        "forget": column("forget", "mean"),
        "retain": column("retain", "mean"),
        "forget_std": column("forget", "std"),
        "retain_std": column("retain", "std"),
    }
