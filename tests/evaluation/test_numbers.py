import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.data.manifest import Manifest, Split
from unlearning.data.samples import kept_sample
from unlearning.errors import InputError
from unlearning.evaluation.forward_pass import Pass
from unlearning.evaluation.numbers import (
    Passes,
    accuracies,
    diagnostics,
    linear_probes,
    membership,
    shared_of,
    with_masks,
)
from unlearning.metrics.alone.linear_probe import share_of_each_class
from unlearning.params import LinearProbe

CLASSES = 6
FORGET = [1, 4]
TRAIN, TEST = np.repeat(np.arange(CLASSES), 15), np.repeat(np.arange(CLASSES), 12)
PROBE = LinearProbe(small_fraction=0.2, layer_samples=30, l2=1e-4, steps=50)
CPU = torch.device("cpu")


@pytest.fixture
def manifest() -> Manifest:
    names = [f"class{label}" for label in range(CLASSES)]
    splits = {name: Split([str(i) for i in range(len(of))], of) for name, of in (("train", TRAIN), ("test", TEST))}
    return Manifest("test", names, 8, 1, [0.3], [0.3], None, "content", splits, FORGET)


def logits_of(classes: Tensor) -> Tensor:
    return 5.0 * F.one_hot(classes, CLASSES).float()


def one_pass(
    labels: np.ndarray, predictions: Tensor | None = None, keep: Tensor | None = None, **features: Tensor
) -> Pass:
    """Return a pass with logits of the predictions, right ones unless told otherwise, and of all samples likewise."""
    answers = torch.from_numpy(labels)
    predictions = answers if predictions is None else predictions
    positions = torch.arange(len(labels)) if keep is None else keep
    layers = {**features, "penultimate": logits_of(answers)[positions]}
    return Pass(predictions, answers, positions, logits_of(predictions)[positions], layers)


def random_pass(labels: np.ndarray, seed: int, keep: Tensor | None = None) -> Pass:
    """Return a pass over samples whose logits and features are all different."""
    random = torch.Generator().manual_seed(seed)
    count = len(labels) if keep is None else len(keep)
    one = one_pass(labels, keep=keep, layer2=torch.randn(count, 5, generator=random))
    one.features["penultimate"] = torch.randn(count, 7, generator=random)
    one.logits = torch.randn(count, CLASSES, generator=random)
    return one


def shifted(labels: Tensor, where: Tensor) -> Tensor:
    """Return the labels, but the next class at the positions of `where`."""
    return torch.where(where, (labels + 1) % CLASSES, labels)


def test_the_masks_say_which_of_the_kept_samples_are_to_be_forgotten(manifest: Manifest) -> None:
    keep = torch.tensor([3, 14, 15, 20, 44, 45, 60, 89])
    passes = with_masks(one_pass(TRAIN, keep=keep), one_pass(TEST), manifest)
    assert passes.train_forget.tolist() == [False, False, True, True, False, False, True, False]
    assert passes.test_forget.tolist() == np.isin(TEST, FORGET).tolist()


@pytest.mark.parametrize("split", ["training", "test"])
@pytest.mark.parametrize("kind", ["forgotten", "retained"])
def test_a_split_without_a_forget_or_a_retain_image_among_the_kept_is_named(
    manifest: Manifest, split: str, kind: str
) -> None:
    labels = TRAIN if split == "training" else TEST
    others = np.flatnonzero(np.isin(labels, FORGET) == (kind == "retained"))[:3]
    few, whole = one_pass(labels, keep=torch.from_numpy(others)), one_pass(TRAIN)
    with pytest.raises(InputError) as caught:
        with_masks(*((few, whole) if split == "training" else (whole, few)), manifest)
    message = str(caught.value)
    assert message.startswith(f"the {split} split has no {kind} image among the 3 looked at; add images, ")
    assert message.endswith("or raise evaluate.max_samples")


def test_accuracies_are_of_all_samples_and_not_of_the_kept_alone(manifest: Manifest) -> None:
    train_wrong = torch.zeros(len(TRAIN), dtype=torch.bool)
    train_wrong[[0, 16, 17, 18]] = True  # one of class 0, three of class 1
    test_wrong = torch.from_numpy((TEST == 4) | (TEST == 5))
    keep = torch.tensor([5, 20])
    train = one_pass(TRAIN, shifted(torch.from_numpy(TRAIN), train_wrong), keep)
    test = one_pass(TEST, shifted(torch.from_numpy(TEST), test_wrong), keep)
    found = accuracies(with_masks(train, test, manifest), manifest)
    assert found == {
        "forget_acc": pytest.approx(90.0),
        "retain_acc": pytest.approx(100 * 59 / 60),
        "test_forget_acc": pytest.approx(50.0),
        "test_retain_acc": pytest.approx(75.0),
        "judged": {"forget": pytest.approx(50.0), "retain": pytest.approx(75.0)},
        "train_acc_per_class": [pytest.approx(100 * 14 / 15), pytest.approx(80.0), 100.0, 100.0, 100.0, 100.0],
        "test_acc_per_class": [100.0, 100.0, 100.0, 100.0, 0.0, 0.0],
    }


def test_a_class_without_test_images_has_no_accuracy_of_its_own(manifest: Manifest) -> None:
    manifest.splits["test"] = Split(manifest.splits["test"].ids[12:], TEST[TEST != 2])
    passes = with_masks(one_pass(TRAIN), one_pass(TEST[TEST != 2]), manifest)
    assert accuracies(passes, manifest)["test_acc_per_class"] == [100.0, 100.0, None, 100.0, 100.0, 100.0]


@pytest.fixture
def lending(manifest: Manifest) -> Manifest:
    """Return the manifest whose test split borrowed all images of class 4 and every other one of the other classes."""
    stand_ins = {int(i): int(i) for i in np.flatnonzero((TEST == 4) | (np.arange(len(TEST)) % 2 == 0))}
    return replace(manifest, splits=manifest.splits | {"test": replace(manifest.splits["test"], borrowed=stand_ins)})


def test_images_that_stand_in_are_judged_by_but_are_no_test_images(lending: Manifest) -> None:
    own = torch.from_numpy(lending.own("test"))
    wrong_on_own = one_pass(TEST, shifted(torch.from_numpy(TEST), own))
    passes = with_masks(one_pass(TRAIN), wrong_on_own, lending)
    found = accuracies(passes, lending)
    assert (found["test_forget_acc"], found["test_retain_acc"]) == (0.0, 0.0)
    assert found["judged"] == {"forget": 75.0, "retain": 50.0}
    assert found["test_acc_per_class"] == [0.0, 0.0, 0.0, 0.0, None, 0.0]
    assert diagnostics(passes)["calibration_error"] > 90  # sure of the wrong class on every image of its own


def test_membership_is_told_by_images_that_the_model_has_not_seen(manifest: Manifest, lending: Manifest) -> None:
    train, test = random_pass(TRAIN, 0), random_pass(TEST, 1)
    assert membership(with_masks(train, test, manifest), seed=0) is not None
    assert membership(with_masks(train, test, lending), seed=0) is None  # six images of class 1 are left, ten are asked
    shared = shared_of(with_masks(train, test, lending), 1000, seed=0)
    assert shared.unseen_positions.tolist() == [13, 15, 17, 19, 21, 23]
    assert len(shared.unseen_scaled) == 6
    assert len(shared.forget_logits) == len(shared.layers["penultimate"]) == 24


@pytest.mark.parametrize("part", ["train", "test", "both"])
def test_what_no_image_to_forget_is_there_for_is_none_and_all_else_is_measured(manifest: Manifest, part: str) -> None:
    labels = {
        name: of[~np.isin(of, FORGET)] if part in (name, "both") else of
        for name, of in (("train", TRAIN), ("test", TEST))
    }
    splits = {name: Split([str(i) for i in range(len(of))], of) for name, of in labels.items()}
    without = replace(manifest, splits=splits)
    passes = with_masks(random_pass(labels["train"], 0), random_pass(labels["test"], 1), without)
    found = accuracies(passes, without)
    assert (found["forget_acc"] is None) == (part in ("train", "both"))
    assert (found["test_forget_acc"] is None) == (part in ("test", "both"))
    assert found["retain_acc"] == found["test_retain_acc"] == 100.0
    assert membership(passes, seed=0) is None
    collapse = diagnostics(passes)["collapse"]
    assert (collapse["forget"] is None) == (part in ("test", "both"))
    assert collapse["retain"]["effective_rank"] > 1
    probe = probes(passes)["all"]
    assert (probe["forget"] is None) == (part in ("test", "both"))
    assert probe["retain"] > 0
    json.dumps(found | diagnostics(passes), allow_nan=False)


def probes(passes: Passes, seed: int = 0) -> dict[str, Any]:
    return linear_probes(passes, CLASSES, PROBE, seed, CPU)


def test_separable_features_are_told_apart_by_every_probe(manifest: Manifest) -> None:
    train, test = (one_pass(labels, layer2=logits_of(torch.from_numpy(labels)).flip(1)) for labels in (TRAIN, TEST))
    found = probes(with_masks(train, test, manifest))
    everything = {"forget": 100.0, "retain": 100.0}
    assert found == {
        "all": everything,
        "small": everything,
        "layers": {"layer2": everything, "penultimate": everything},
    }
    assert list(found["layers"]) == list(train.features)


def test_forget_and_retain_accuracy_of_a_probe_are_of_their_own_test_samples(manifest: Manifest) -> None:
    answers = torch.from_numpy(TEST)
    test = one_pass(TEST)
    test.features["penultimate"] = logits_of(shifted(answers, (answers == 1) | (answers == 0)))
    found = probes(with_masks(one_pass(TRAIN), test, manifest))
    assert found["all"] == {"forget": 50.0, "retain": 75.0}


def test_each_layer_is_probed_on_its_own_features(manifest: Manifest) -> None:
    train, test = (one_pass(labels, layer2=torch.full((len(labels), 3), 0.1)) for labels in (TRAIN, TEST))
    layers = probes(with_masks(train, test, manifest))["layers"]
    assert layers["layer2"] in ({"forget": 50.0, "retain": 0.0}, {"forget": 0.0, "retain": 25.0})  # one class for all
    assert layers["penultimate"] == {"forget": 100.0, "retain": 100.0}


def fitted_on(chosen: np.ndarray, manifest: Manifest) -> dict[str, Any]:
    """Return the probes where the features of the chosen training samples are right and all others mislead."""
    answers = torch.from_numpy(TRAIN)
    misleading = torch.ones(len(TRAIN), dtype=torch.bool)
    misleading[torch.from_numpy(chosen)] = False
    train = one_pass(TRAIN)
    train.features["penultimate"] = logits_of(shifted(answers, misleading))
    return probes(with_masks(train, one_pass(TEST), manifest), seed=7)


def test_the_small_probe_is_fitted_on_a_share_of_each_class_alone(manifest: Manifest) -> None:
    chosen = share_of_each_class(torch.from_numpy(TRAIN), 0.2, 7).numpy()
    assert len(chosen) == 18
    found = fitted_on(chosen, manifest)
    assert found["small"] == {"forget": 100.0, "retain": 100.0}
    assert found["all"] == {"forget": 0.0, "retain": 0.0}


def test_the_probes_of_the_layers_are_fitted_on_a_sample_alone(manifest: Manifest) -> None:
    found = fitted_on(kept_sample(len(TRAIN), 30, 7), manifest)
    assert found["layers"]["penultimate"] == {"forget": 100.0, "retain": 100.0}
    assert found["all"] == {"forget": 0.0, "retain": 0.0}


def attacked(member: float, other: float, manifest: Manifest, forget_test: int = 24) -> dict[str, Any] | None:
    """Return the attacks where forget images have a true logit of `member` or `other`, and retain images differ."""
    labels = np.concatenate([TEST[~np.isin(TEST, FORGET)], TEST[np.isin(TEST, FORGET)][:forget_test]])
    train, test = one_pass(TRAIN), one_pass(labels)
    for one, own in ((train, member), (test, other)):
        forget = torch.from_numpy(np.isin(one.labels.numpy(), FORGET))
        known = 9.0 if one is train else 0.0
        one.logits = F.one_hot(one.labels, CLASSES) * torch.where(forget, own, known)[:, None]
    own = Split([str(position) for position in range(len(labels))], labels)
    return membership(with_masks(train, test, replace(manifest, splits=manifest.splits | {"test": own})), seed=0)


SAMPLES = (3, 4, 20, 33, 34, 50, 61, 75, 76, 88, 89)  # positions in the training split, of several classes


@pytest.fixture
def of_samples(manifest: Manifest) -> Manifest:
    return replace(manifest, forget_classes=[], forget_samples=SAMPLES)


def test_forgotten_samples_are_counted_apart_from_others_of_their_class(of_samples: Manifest) -> None:
    forget = torch.zeros(len(TRAIN)).bool()
    forget[list(SAMPLES)] = True
    train = one_pass(TRAIN, predictions=shifted(torch.from_numpy(TRAIN), forget))
    found = accuracies(with_masks(train, one_pass(TEST), of_samples), of_samples)
    assert (found["forget_acc"], found["retain_acc"]) == (0.0, 100.0)
    assert (found["test_forget_acc"], found["test_retain_acc"]) == (None, 100.0)


def test_membership_of_samples_is_told_from_any_image_that_the_model_has_not_seen(of_samples: Manifest) -> None:
    for known, area in ((9.0, 100.0), (3.0, 50.0)):
        train, test = one_pass(TRAIN), one_pass(TEST)
        true = torch.full((len(TRAIN),), 5.0)  # of retained images: nobody asks them
        true[list(SAMPLES)] = known
        train.logits = F.one_hot(train.labels, CLASSES) * true[:, None]
        test.logits = F.one_hot(test.labels, CLASSES) * 3.0
        found = membership(with_masks(train, test, of_samples), seed=0)
        assert found is not None
        assert found["all"]["auc"] == area


def test_models_are_compared_on_the_forgotten_samples_themselves(of_samples: Manifest) -> None:
    train, test = random_pass(TRAIN, 0), random_pass(TEST, 1)
    shared = shared_of(with_masks(train, test, of_samples), 10, seed=0)
    assert torch.equal(shared.forget_logits, train.logits[list(SAMPLES)])
    assert torch.equal(shared.layers["penultimate"], train.features["penultimate"][list(SAMPLES)])
    assert shared.train_forget_positions.tolist() == list(SAMPLES)
    assert len(shared.unseen_positions) == len(TEST)


def test_members_that_stand_out_are_found_by_every_attack(manifest: Manifest) -> None:
    found = attacked(4.0, 1.0, manifest)
    assert set(found) == {"confidence", "entropy", "modified_entropy", "loss", "all"}
    assert all(result == {"auc": 100.0, "low": 100.0, "high": 100.0} for result in found.values())


def test_attacks_see_the_images_to_be_forgotten_alone(manifest: Manifest) -> None:
    assert all(result["auc"] == 50.0 for result in attacked(2.0, 2.0, manifest).values())


def test_for_few_images_to_be_forgotten_there_is_no_attack(manifest: Manifest) -> None:
    assert attacked(4.0, 1.0, manifest, forget_test=9) is None
    assert attacked(4.0, 1.0, manifest, forget_test=10) is not None


def test_the_collapse_of_the_forget_set_shows_in_its_own_diagnostics(manifest: Manifest) -> None:
    test = random_pass(TEST, seed=1)
    forget = torch.from_numpy(np.isin(TEST, FORGET))
    test.features["penultimate"][forget] = 0.3
    test.logits[forget] = 0.0
    collapse = diagnostics(with_masks(random_pass(TRAIN, seed=0), test, manifest))["collapse"]
    assert collapse["forget"] == pytest.approx(
        {"effective_rank": 0.0, "variance": 0.0, "relative_variance": 0.0, "logit_norm": 0.0}, abs=1e-9
    )
    assert 3 < collapse["retain"]["effective_rank"] <= 7
    assert collapse["retain"]["relative_variance"] > 0.5
    assert collapse["retain"]["logit_norm"] == pytest.approx(test.logits[~forget].norm(dim=1).mean().item())


def test_the_calibration_error_is_of_the_retained_test_images(manifest: Manifest) -> None:
    answers = torch.from_numpy(TEST)
    forget = np.isin(TEST, FORGET)
    train, sure = one_pass(TRAIN), 100 * logits_of(answers)
    for wrong, expected in ((torch.from_numpy(forget), 0.0), (torch.from_numpy(~forget), 100.0)):
        test = one_pass(TEST)
        test.logits = sure.clone()
        test.logits[wrong] = sure[wrong].roll(1, dims=1)
        found = diagnostics(with_masks(train, test, manifest))
        assert found["calibration_error"] == pytest.approx(expected)


@pytest.mark.parametrize("max_samples", [8, 20, 60, 1000])
def test_what_is_shared_is_all_of_the_test_forget_set_and_bounded_samples_of_both_splits(
    manifest: Manifest, max_samples: int
) -> None:
    keep = torch.arange(1, 90, 2)
    passes = with_masks(random_pass(TRAIN, 0, keep), random_pass(TEST, 1), manifest)
    shared = shared_of(passes, max_samples, seed=3)
    train, test, forget = passes.train, passes.test, passes.test_forget

    assert list(shared.layers) == ["layer2", "penultimate"]
    assert all(torch.equal(values, test.features[layer][forget]) for layer, values in shared.layers.items())
    assert torch.equal(shared.forget_logits, test.logits[forget])
    assert torch.equal(shared.forget_labels, test.labels[forget])
    assert shared.unseen_positions.tolist() == np.flatnonzero(np.isin(TEST, FORGET)).tolist()

    positions = shared.test_positions
    assert len(positions) == min(max_samples, 72)
    assert positions.tolist() == sorted(set(positions.tolist()))
    assert torch.equal(shared.test, test.features["penultimate"][positions])
    assert torch.equal(shared.test_labels, test.labels[positions])

    some = kept_sample(45, max_samples, 3)
    assert torch.equal(shared.train, train.features["penultimate"][some])
    assert torch.equal(shared.train_logits, train.logits[some])
    assert torch.equal(shared.train_labels, train.kept_labels[some])
    assert len(shared.train) == min(max_samples, 45)


def test_the_positions_of_shared_training_images_are_within_the_split(manifest: Manifest) -> None:
    keep = torch.arange(1, 90, 2)
    shared = shared_of(with_masks(random_pass(TRAIN, 0, keep), random_pass(TEST, 1), manifest), 8, seed=0)
    assert shared.train_forget_positions.tolist() == [i for i in range(1, 90, 2) if TRAIN[i] in FORGET]


def test_scaled_logits_are_of_the_true_class(manifest: Manifest) -> None:
    passes = with_masks(random_pass(TRAIN, 0), random_pass(TEST, 1), manifest)
    shared = shared_of(passes, 8, seed=0)
    for scaled, one, forget in (
        (shared.train_forget_scaled, passes.train, passes.train_forget),
        (shared.unseen_scaled, passes.test, passes.test_forget),
    ):
        p = one.logits[forget].double().softmax(dim=1).gather(1, one.labels[forget][:, None])[:, 0]
        assert scaled.dtype == torch.float64
        torch.testing.assert_close(scaled, (p / (1 - p)).log())


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -1e-6])
@pytest.mark.parametrize("logits", ["constant", "sure", "wrong"])
def test_no_number_is_nan_for_constant_features_and_extreme_logits(
    manifest: Manifest, value: float, logits: str
) -> None:
    sides = []
    for labels in (TRAIN, TEST):
        one = one_pass(labels, layer2=torch.full((len(labels), 3), value))
        one.features["penultimate"] = torch.full((len(labels), 9), value)
        sure = 1e4 * F.one_hot(one.labels, CLASSES).float()
        one.logits = {"constant": torch.full_like(sure, value), "sure": sure, "wrong": sure.roll(1, dims=1)}[logits]
        sides.append(one)
    passes = with_masks(*sides, manifest)
    found = accuracies(passes, manifest) | diagnostics(passes)
    found |= {"linear_probe": probes(passes), "membership": membership(passes, seed=0)}
    assert set(json.loads(json.dumps(found, allow_nan=False))) == set(found)
    shared = vars(shared_of(passes, 8, seed=0))
    tensors = [*shared.pop("layers").values(), *shared.values()]
    assert all(values.isfinite().all() for values in tensors)
