import pytest
import torch
from torch import nn

from tests.conftest import PARAMS, RECIPE
from unlearning.engine.optimisation import Moment, learning_rate, make_optimizer
from unlearning.errors import InputError
from unlearning.methods import method_config
from unlearning.params import Recipe


def recipe(**changes: object) -> Recipe:
    return Recipe(**{**RECIPE, "lr": 1.0, **changes})


def at(share: float, epochs: int = 0) -> Moment:
    return Moment(share, epochs)


@pytest.mark.parametrize(
    ("schedule", "expected"), [("constant", [1, 1, 1, 1]), ("cosine", [1, 0.8535534, 0.5, 0.1464466])]
)
def test_schedule_at_the_quarters_of_a_run(schedule: str, expected: list[float]) -> None:
    rates = [learning_rate(recipe(schedule=schedule), at(quarter / 4, quarter)) for quarter in range(4)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(("milestones", "decay"), [([25, 40], 0.5), ([91, 136], 0.1), ([1], 0.3), ([2, 3, 4], 0.9)])
def test_step_equals_torchs_multi_step_schedule(milestones: list[int], decay: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, decay)
    rates = []
    for _ in range(182):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()
    stepped = recipe(schedule="step", milestones=milestones, decay=decay)
    assert [learning_rate(stepped, at(done / 182, done)) for done in range(182)] == pytest.approx(rates, rel=1e-12)


def test_step_lowers_the_rate_in_the_epochs_after_scrubs_milestones() -> None:
    official = recipe(schedule="step", milestones=[3, 5, 9], decay=0.1)
    expected = [0.1 ** sum(epoch > milestone for milestone in (3, 5, 9)) for epoch in range(1, 12)]  # epochs from 1
    assert expected[2:6] == pytest.approx([1, 0.1, 0.1, 0.01])
    rates = [learning_rate(official, at((epoch - 1) / 11, epoch - 1)) for epoch in range(1, 12)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(("method", "epochs"), [("duck", 9), ("duck_ec", 9), ("scrub", 3)])
def test_official_steps_leave_a_short_run_constant(method: str, epochs: int) -> None:
    own = method_config(method, PARAMS).model_copy(update={"lr": 1.0})
    assert own.schedule == "step"
    assert {learning_rate(own, at(0.99, done)) for done in range(epochs)} == {1.0}


def test_milestones_and_decay_belong_to_step_alone() -> None:
    for schedule in ("constant", "cosine", "one_cycle"):
        plain, with_them = recipe(schedule=schedule), recipe(schedule=schedule, milestones=[1, 2], decay=0.5)
        for done in range(4):
            assert learning_rate(plain, at(done / 4, done)) == learning_rate(with_them, at(done / 4, done))


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
def test_warmup_rises_linearly_to_the_peak(schedule: str) -> None:
    warm = recipe(schedule=schedule, warmup=0.2, milestones=[9])
    assert [learning_rate(warm, at(share)) for share in (0, 0.1, 0.2)] == pytest.approx([0, 0.5, 1])


def test_one_cycle_equals_torch() -> None:
    steps = 50
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=steps + 1, pct_start=0.3, div_factor=25, final_div_factor=1e9, cycle_momentum=False
    )
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        oracle.step()
    # torch's peak lies one step before ours: its warm-up ends at pct_start * total - 1
    ours = [learning_rate(recipe(schedule="one_cycle", warmup=14.3 / 50), at(step / steps)) for step in range(steps)]
    assert ours == pytest.approx(rates, abs=0.02)


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizer_by_name_with_its_settings(name: str, kind: type) -> None:
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], recipe(optimizer=name, weight_decay=0.3))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.3


@pytest.mark.parametrize(("key", "value", "near"), [("optimizer", "sdg", "sgd"), ("schedule", "cosin", "cosine")])
def test_unknown_name_suggests_the_nearest(key: str, value: str, near: str) -> None:
    use = {
        "optimizer": lambda wrong: make_optimizer([nn.Parameter(torch.zeros(1))], wrong),
        "schedule": lambda wrong: learning_rate(wrong, at(0.0)),
    }[key]
    with pytest.raises(InputError, match=f"{key}: '{value}'.*{near}"):
        use(recipe(**{key: value}))
