from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tests.evaluation.victims import attacks, victim_of
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.evaluation.attacks import Outcome, Target, curves, few_shots, head_of, prototype_curves
from unlearning.evaluation.fine_tuning import with_head
from unlearning.metrics.alone.prototype import Head
from unlearning.params import Prototype

FORGET = [1, 4]  # of the small world's six classes, with 16 training and 4 test images each


def labels_of(world: Manifest) -> torch.Tensor:
    return torch.from_numpy(world.splits["train"].labels)


@pytest.mark.parametrize("shots", [1, 2, 5, 16])
def test_so_many_images_of_each_class_to_forget_and_as_many_retained_ones_in_all(world: Manifest, shots: int) -> None:
    labels = labels_of(world)
    places = few_shots(labels, world, shots, 0)
    assert places.tolist() == sorted(set(places.tolist()))
    counts = torch.bincount(labels[places], minlength=6)
    assert counts[FORGET].tolist() == [shots, shots]
    assert counts.sum() == 4 * shots


def test_the_images_for_fewer_shots_are_among_those_for_more(world: Manifest) -> None:
    chosen = [set(few_shots(labels_of(world), world, shots, 0).tolist()) for shots in (1, 2, 5, 16)]
    assert all(fewer < more for fewer, more in zip(chosen, chosen[1:], strict=False))


def test_a_class_with_fewer_images_gives_all_it_has(world: Manifest) -> None:
    labels = labels_of(world)
    kept = torch.cat([(labels != 4).nonzero()[:, 0], (labels == 4).nonzero()[:3, 0]])
    counts = torch.bincount(labels[kept][few_shots(labels[kept], world, 10, 0)], minlength=6)
    assert counts[FORGET].tolist() == [10, 3]
    assert counts.sum() == 26


def test_a_forgotten_class_without_a_kept_image_is_named(world: Manifest) -> None:
    labels = labels_of(world)
    with pytest.raises(InputError, match=r"no training image of 'class4'.*evaluate\.max_samples.*attacks\.shots"):
        few_shots(labels[labels != 4], world, 1, 0)


def test_each_draw_has_images_of_its_own_whatever_the_global_seed_is(world: Manifest) -> None:
    def chosen(draw: int, global_seed: int) -> list[int]:
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        return few_shots(labels_of(world), world, 3, 0, draw).tolist()

    assert chosen(0, 0) == chosen(0, 1)
    assert chosen(0, 0) != chosen(1, 0)


def test_a_head_on_the_kept_features_is_worth_what_the_model_with_that_head_is(victim: Target) -> None:
    torch.manual_seed(0)
    other = Head(victim.head.weight + torch.randn_like(victim.head.weight), victim.head.bias + 0.1)
    for head in (victim.head, other):
        assert victim.outcome_of_head(head) == victim.outcome(with_head(victim.model, head))
    assert victim.outcome_of_head(other) != victim.outcome_of_head(victim.head)


def test_a_target_is_judged_by_so_many_images_of_each_part(world: Manifest, trained: nn.Module) -> None:
    victim = victim_of(trained, world, attacks(max_samples=5))
    assert (int(victim.test_forget.sum()), int((~victim.test_forget).sum())) == (5, 5)
    labels = world.splits["test"].labels[victim.test_positions.numpy()]
    assert labels.tolist() == victim.test_labels.tolist()
    assert np.isin(labels, FORGET).tolist() == victim.test_forget.tolist()


def test_only_kept_images_are_drawn_and_asked(world: Manifest, trained: nn.Module) -> None:
    keep = np.sort(np.random.default_rng(0).permutation(96)[:40])
    victim = victim_of(trained, world, attacks(), keep=keep)
    assert set(victim.positions.tolist()) == set(keep.tolist())
    assert world.splits["train"].labels[victim.positions.numpy()].tolist() == victim.labels.tolist()


def test_a_classifier_without_a_bias_has_zeros(trained: nn.Module) -> None:
    trained.fc = nn.Linear(16, 6, bias=False)
    assert head_of(trained).bias.tolist() == [0.0] * 6


def test_prototypes_bring_back_what_only_the_head_forgot(
    world: Manifest, victim: Target, zeroed: Callable[[nn.Module], nn.Module]
) -> None:
    cfg = Prototype(draws=3, false_alarms=0.05)
    before = {name: value.clone() for name, value in victim.model.state_dict().items()}
    found = prototype_curves(victim, attacks(shots=[1, 5]), cfg)
    hidden = victim_of(zeroed(victim.model), world, attacks())
    assert hidden.outcome_of_head(hidden.head).forget == 0
    assert prototype_curves(hidden, attacks(shots=[1, 5]), cfg) == found
    assert found["forget"][5] > 90
    assert all(torch.equal(value, before[name]) for name, value in victim.model.state_dict().items())


def test_curves_are_means_and_sample_deviations_over_the_draws() -> None:
    found = curves({1: [Outcome(10.0, 90.0), Outcome(30.0, 80.0)], 5: [Outcome(50.0, 70.0)]})
    assert found == {
        "forget": {1: 20.0, 5: 50.0},
        "retain": {1: 85.0, 5: 70.0},
        "forget_std": {1: pytest.approx(200**0.5), 5: None},
        "retain_std": {1: pytest.approx(50**0.5), 5: None},
    }


def test_without_shots_there_are_empty_curves(victim: Target) -> None:
    cfg = Prototype(draws=3, false_alarms=0.05)
    assert prototype_curves(victim, attacks(shots=[]), cfg) == dict.fromkeys(
        ("forget", "retain", "forget_std", "retain_std"), {}
    )
