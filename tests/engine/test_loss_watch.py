import math

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import RECIPE
from unlearning.engine.launch import Launch
from unlearning.engine.loss_watch import LossWatch
from unlearning.errors import Diverged
from unlearning.params import Recipe

CPU = Launch(torch.device("cpu"), rank=0, world=1, dtype=torch.float32)
GPU = Launch(torch.device("cuda"), rank=0, world=1, dtype=torch.float32)  # nothing here computes on it
NOT_FINITE = [math.nan, math.inf, -math.inf]


def follow(watch, losses, epoch=1, first=1):
    """Give the watch one loss per step, from step `first`, and look when it asks for that; returns when it did."""
    looks = []
    for step, loss in enumerate(losses, start=first):
        if watch.add(torch.tensor(loss, requires_grad=True)):
            looks.append(step)
            watch.look(epoch, step)
    return looks


def test_the_cpu_is_looked_at_in_every_step_and_other_devices_seldom() -> None:
    assert follow(LossWatch("m", CPU), [1.0] * 5) == [1, 2, 3, 4, 5]
    assert follow(LossWatch("m", GPU), [1.0] * 45) == [20, 40]


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_a_loss_that_is_not_finite_is_named_with_method_epoch_step_and_the_last_finite_one(bad: float) -> None:
    message = rf"^cu: the loss became {bad} at epoch 3, step 43 \(last finite loss 0\.125\); lower its lr, or set clip"
    with pytest.raises(Diverged, match=message):
        follow(LossWatch("cu", CPU), [0.5, 0.125, bad], epoch=3, first=41)


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("place", [0, 7, 19])
def test_the_step_is_exact_where_only_every_twentieth_looks(bad: float, place: int) -> None:
    watch = LossWatch("cu", CPU)
    watch.every = 20
    follow(watch, [9.0] * 20)
    losses = [float(number) for number in range(20)]
    losses[place:] = [bad] + [math.nan] * (19 - place)
    last = 9 if place == 0 else place - 1
    with pytest.raises(Diverged, match=rf"became {bad} at epoch 2, step {21 + place} \(last finite loss {last}\);"):
        follow(watch, losses, epoch=2, first=21)


def test_a_finite_loss_after_one_that_was_not_does_not_hide_it() -> None:
    watch = LossWatch("cu", CPU)
    watch.every = 20
    follow(watch, [1.0, math.nan, 2.0])
    with pytest.raises(Diverged, match=r"step 2 \(last finite loss 1\)"):
        watch.look(1, 3)


def test_a_first_loss_that_is_not_finite_has_no_finite_one_before_it() -> None:
    with pytest.raises(Diverged, match=r"at epoch 1, step 1 \(last finite loss nan\)"):
        follow(LossWatch("cu", CPU), [math.inf])


def test_a_look_with_nothing_new_says_nothing() -> None:
    watch = LossWatch("cu", CPU)
    watch.look(1, 0)
    follow(watch, [2.0])
    watch.look(1, 1)
    assert watch.finish_epoch() == {"loss": 2.0}


@pytest.mark.parametrize("every", [1, 4, 20])
def test_an_epoch_ends_with_the_means_of_all_its_steps_and_is_forgotten(every: int) -> None:
    watch = LossWatch("cu", CPU)
    watch.every = every
    for number in range(6):
        watch.log(share=torch.tensor(number), wide=torch.tensor(2.0 * number, requires_grad=True))
        follow(watch, [float(number)], first=number + 1)
    watch.look(1, 6)
    assert watch.finish_epoch() == {"loss": 2.5, "share": 2.5, "wide": 5.0}
    follow(watch, [7.0, 9.0], epoch=2, first=7)
    watch.look(2, 8)
    assert watch.finish_epoch() == {"loss": 8.0}


def test_the_newest_values_are_shown() -> None:
    watch = LossWatch("cu", CPU)
    watch.log(share=torch.tensor(10.0))
    follow(watch, [1.0])
    watch.log(share=torch.tensor(20.0))
    follow(watch, [0.12345], first=2)
    assert watch.shown() == {"loss": "0.123", "share": "20.000"}
    watch.finish_epoch()
    assert watch.shown() == {"loss": "0.123"}


def test_nothing_of_the_graph_is_kept() -> None:
    watch = LossWatch("cu", CPU)
    watch.every = 20
    loss = torch.tensor(1.0, requires_grad=True) * 2
    watch.add(loss)
    watch.log(loss_twice=2 * loss)
    kept = [*watch._new, *watch._logs["loss_twice"]]
    assert not any(value.requires_grad for value in kept)


def test_a_run_that_looks_seldom_names_the_step_at_the_end_of_its_epoch(make_run) -> None:
    run = make_run(name="boom")
    run._watch.every = 20
    recipe = Recipe(**RECIPE)
    steps = run.schedule.steps("all", recipe.batch_size)

    def program():
        network = run.optimise(run.model, recipe)
        for batch in run.batches("all", recipe):
            factor = math.nan if run.progress.step == steps + 4 else 1.0
            yield F.cross_entropy(network(batch.images), batch.labels) * factor

    with pytest.raises(
        Diverged, match=rf"boom: the loss became nan at epoch 2, step {steps + 5} \(last finite loss \d"
    ):
        run.drive(program())
    assert run.progress.step == 2 * steps
    assert run.progress.epochs == [1]
