import math

import pytest
import torch
from pydantic import ValidationError

from tests.conftest import config_of
from unlearning.engine.validation import accuracy
from unlearning.methods import ga


def config(**changes: object) -> ga.Config:
    return config_of("ga", **{"schedule": "constant", **changes})


def test_loss_is_the_negative_cross_entropy_of_the_forget_images(make_run) -> None:
    run, twin = make_run(), make_run(folder="twin")
    loss = next(ga.unlearn(run, config()))
    forget = next(twin.schedule.visit("forget", 8, config().augment, 1))
    logits = twin.model.train()(forget.images).tolist()
    own = [
        math.log(math.exp(row[label]) / sum(map(math.exp, row)))
        for row, label in zip(logits, forget.labels.tolist(), strict=True)
    ]
    assert loss.item() == pytest.approx(sum(own) / len(own), rel=1e-4)
    assert loss.item() < 0


@pytest.mark.parametrize("stop_at", [30.0, 80.0])
def test_stops_after_the_first_epoch_that_has_forgotten_enough(make_run, stop_at: float, trained) -> None:
    run = make_run()
    run.model.load_state_dict(trained)
    rows = run.drive(ga.unlearn(run, config(epochs=40, stop_at_forget_acc=stop_at))).rows
    *before, last = [row["forget_acc"] for row in rows]
    assert len(rows) < 40
    assert last <= stop_at
    assert all(value > stop_at for value in before)
    assert run.forget_acc() == last
    assert accuracy(run.model, run.whole_split, run.manifest.select("train", "forget"), run.launch) == last


def test_an_accuracy_that_is_just_reached_is_enough(make_run, trained) -> None:
    weights = trained

    def forget_accs(stop_at: float) -> list[float]:
        run = make_run(folder=f"stop-at-{stop_at}")
        run.model.load_state_dict(weights)
        rows = run.drive(ga.unlearn(run, config(epochs=6, lr=0.02, stop_at_forget_acc=stop_at))).rows
        return [row["forget_acc"] for row in rows]

    whole = forget_accs(0.0)
    reached = max(value for value in whole if 0 < value < 100)
    assert forget_accs(reached) == whole[: whole.index(reached) + 1]


def test_goes_on_while_it_remembers(make_run, trained) -> None:
    run = make_run()
    run.model.load_state_dict(trained)
    rows = run.drive(ga.unlearn(run, config(epochs=5, lr=1e-6, stop_at_forget_acc=50.0))).rows
    assert [row["forget_acc"] > 50 for row in rows] == [True] * 5


def step_lengths(run, cfg: ga.Config) -> list[float]:
    lengths = []

    def program():
        for loss in ga.unlearn(run, cfg):
            before = torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])
            yield loss
            after = torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])
            lengths.append((after - before).norm().item())

    run.drive(program())
    return lengths


def test_no_step_is_longer_than_the_clipped_gradient(make_run) -> None:
    plain_sgd = {"epochs": 1, "optimizer": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    clipped = step_lengths(make_run(), config(**plain_sgd, clip_norm=0.01))
    assert len(clipped) == 4
    assert clipped == pytest.approx([0.01] * 4, rel=1e-2)
    free = step_lengths(make_run(folder="free"), config(**plain_sgd, clip_norm=1000.0))
    assert free[0] > 0.1


@pytest.mark.parametrize("key", ["clip_norm", "stop_at_forget_acc"])
def test_a_bound_cannot_be_left_out(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        config(**{key: None})


def test_what_was_learned_is_forgotten(make_run, trained) -> None:
    run = make_run()
    run.model.load_state_dict(trained)
    known = run.forget_acc()
    rows = run.drive(ga.unlearn(run, config(epochs=20))).rows
    assert known > 90
    assert run.forget_acc() == 0
    assert rows[-1]["validation_forget_acc"] < 20
