import pytest
import torch
from torch import nn

from tests.conftest import RECIPE
from unlearning.engine.optimisation import learning_rate, make_optimizer
from unlearning.errors import InputError
from unlearning.params import Recipe


def recipe(**changes: object) -> Recipe:
    return Recipe(**{**RECIPE, "lr": 1.0, **changes})


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("step", [1, 1, 0.1, 0.01]),
        ("cosine", [1, 0.8535534, 0.5, 0.1464466]),
    ],
)
def test_schedule_at_the_quarters_of_a_run(schedule: str, expected: list[float]) -> None:
    rates = [learning_rate(recipe(schedule=schedule), quarter / 4) for quarter in range(4)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warmup_rises_linearly_to_the_peak(schedule: str) -> None:
    warm = recipe(schedule=schedule, warmup=0.2)
    assert [learning_rate(warm, share) for share in (0, 0.1, 0.2)] == pytest.approx([0, 0.5, 1])


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
    ours = [learning_rate(recipe(schedule="one_cycle", warmup=14.3 / 50), step / steps) for step in range(steps)]
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
        "schedule": lambda wrong: learning_rate(wrong, 0.0),
    }[key]
    with pytest.raises(InputError, match=f"{key}: '{value}'.*{near}"):
        use(recipe(**{key: value}))
