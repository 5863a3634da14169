from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SHAPE, weights_of
from tests.evaluation.victims import attacks, probe, prototype, relearn, victim_of
from unlearning.data.manifest import Manifest
from unlearning.evaluation.attacks import Outcome, Target
from unlearning.evaluation.relearning import (
    AS_IS,
    FRESH,
    IMPRINTED,
    Attacker,
    Choice,
    relearning_curves,
    starts_of,
    strongest,
)
from unlearning.models.backbone import build, classifier_of
from unlearning.params import Relearn

Zero = Callable[[nn.Module], nn.Module]


def attacker(victim: Target, cfg: Relearn) -> Attacker:
    return Attacker(victim, starts_of(victim, cfg, prototype(), probe()), 0, cfg)


def curves(victim: Target, cfg: Relearn, shots: list[int]) -> dict:
    return relearning_curves(victim, attacks(shots=shots), cfg, prototype(), probe())


@pytest.fixture
def hidden(world: Manifest, trained: nn.Module, zeroed: Zero) -> Target:
    """Return the trained model whose head never answers the forgotten classes."""
    return victim_of(zeroed(trained), world, attacks())


def test_the_strongest_of_those_that_leave_a_working_model_and_the_first_of_equals() -> None:
    outcomes = {
        Choice(AS_IS, None): Outcome(0.0, 90.0),
        Choice(IMPRINTED, None): Outcome(50.0, 80.0),
        Choice(IMPRINTED, 0.01): Outcome(50.0, 85.0),
        Choice(IMPRINTED, 0.1): Outcome(99.0, 60.0),
    }
    assert strongest(outcomes, 72.0) == Choice(IMPRINTED, None)
    assert strongest(outcomes, 60.0) == Choice(IMPRINTED, 0.1)
    assert strongest(outcomes, 82.0) == Choice(IMPRINTED, 0.01)
    assert strongest(outcomes, 90.0) == Choice(AS_IS, None)


def test_a_rate_that_breaks_the_model_is_not_chosen(victim: Target, hidden: Target) -> None:
    for one in (victim, hidden):
        choice, outcome = attacker(one, relearn(lrs=[100.0], steps=20)).choose(3)
        assert choice.lr is None
        assert outcome == attacker(one, relearn()).attack(choice, 3, 0)


def test_what_is_chosen_leaves_enough_retain_accuracy(hidden: Target) -> None:
    least = 0.95 * hidden.outcome_of_head(hidden.head).retain
    _, outcome = attacker(hidden, relearn(lrs=[0.003, 0.03, 0.3], survives=0.95)).choose(3)
    assert outcome.retain >= least


def test_a_head_that_hides_the_classes_does_not_help(victim: Target, hidden: Target) -> None:
    assert hidden.outcome_of_head(hidden.head).forget == 0
    shown, found = (curves(one, relearn(), [1, 3]) for one in (victim, hidden))
    assert found["chosen"][3]["start"] in (IMPRINTED, FRESH)
    for shots in (1, 3):
        assert found["forget"][shots] >= 0.9 * shown["forget"][shots]


def test_the_starts_are_the_own_head_and_imprinted_rows_beside_own_or_fresh_ones(hidden: Target) -> None:
    starts = starts_of(hidden, relearn(), prototype(), probe())
    assert list(starts) == [AS_IS, IMPRINTED, FRESH]
    means = torch.stack([hidden.features[hidden.labels == label].mean(dim=0) for label in (1, 4)])
    own, imprinted, fresh = (start(means) for start in starts.values())
    retained = [0, 2, 3, 5]
    assert torch.equal(own.weight, hidden.head.weight)
    assert torch.equal(imprinted.weight[retained], own.weight[retained])
    assert not torch.equal(fresh.weight[retained], own.weight[retained])
    assert hidden.outcome_of_head(fresh).retain > 80
    assert hidden.outcome_of_head(fresh).forget > 80


def test_a_fresh_head_rescues_a_ruined_one(world: Manifest, trained: nn.Module) -> None:
    with torch.no_grad():
        classifier_of(trained).weight.zero_()
    victim = victim_of(trained, world, attacks())
    choice, outcome = attacker(victim, relearn()).choose(3)
    assert choice.start == FRESH
    assert outcome.forget > 80


def test_training_learns_what_the_features_do_not_tell(world: Manifest) -> None:
    torch.manual_seed(0)
    untrained = build(SHAPE)
    victim = victim_of(untrained, world, attacks())
    cfg = relearn(lrs=[0.1], steps=40, survives=0.0, batch_size=32)
    choice, outcome = attacker(victim, cfg).choose(16)
    assert choice.lr == 0.1
    before = attacker(victim, cfg).attack(Choice(choice.start, None), 16, 0)
    assert outcome.forget > before.forget + 10


def test_the_curves_repeat_the_choice_on_every_draw_and_leave_the_model_as_it_was(hidden: Target) -> None:
    before = weights_of(hidden.model)
    cfg = relearn(draws=3)
    found = curves(hidden, cfg, [1])
    again = attacker(hidden, cfg)
    outcomes = [again.attack(Choice(**found["chosen"][1]), 1, draw) for draw in range(3)]
    assert found["forget"][1] == pytest.approx(sum(outcome.forget for outcome in outcomes) / 3)
    assert found["retain"][1] == pytest.approx(sum(outcome.retain for outcome in outcomes) / 3)
    assert all(torch.equal(value, before[name]) for name, value in hidden.model.state_dict().items())
    assert all(parameter.grad is None for parameter in hidden.model.parameters())


def test_a_point_of_the_curve_does_not_depend_on_the_others(hidden: Target) -> None:
    assert curves(hidden, relearn(), [1, 3])["forget"][3] == curves(hidden, relearn(), [3])["forget"][3]


def test_without_shots_nothing_is_done(victim: Target) -> None:
    found = curves(victim, relearn(), [])
    assert found == dict.fromkeys(("forget", "retain", "forget_std", "retain_std", "chosen"), {})


def test_a_copy_of_a_model_gives_the_same_curve(world: Manifest, trained: nn.Module, victim: Target) -> None:
    weights: dict[str, Tensor] = trained.state_dict()
    twin = build(SHAPE)
    twin.load_state_dict(weights)
    assert curves(victim_of(twin, world, attacks()), relearn(), [3]) == curves(victim, relearn(), [3])
