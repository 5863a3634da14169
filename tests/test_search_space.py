"""Which settings a search tries, and in which order."""

from pathlib import Path

import optuna
import pytest

from tests.conftest import values_of_params
from unlearning.methods import method_config, method_search
from unlearning.params import Recipe, Search, known_methods
from unlearning.search_space import Ranges, Values, in_use, ranges, star, suggest

PARAMS = Path(__file__).parents[1] / "params.yaml"


def space(**changes: object) -> Search:
    return Search.model_validate(values_of_params()["search"] | {"lr_min": 0.001, "lr_max": 0.1} | changes)


def config_of(name: str, **changes: object) -> Recipe:
    config = method_config(name, PARAMS)
    return type(config).model_validate({**config.model_dump(), **changes})


def star_of(config: Recipe, bounds: Ranges) -> list[Values]:
    return star(in_use(config, bounds), bounds)


def test_the_star_is_the_values_in_use_and_each_number_alone_a_step_up_and_down() -> None:
    config = config_of("cu", lr=0.01, epochs=4, lambda_cu=1.0, omega=2)
    first, *others = star_of(config, ranges("cu", config, space(epochs_max=10)))
    assert first == {"lr": 0.01, "epochs": 4, "lambda_cu": 1.0, "omega": 2}
    changed = [{key: value for key, value in one.items() if value != first[key]} for one in others]
    assert changed == [
        {"lr": 0.03},
        {"lr": 0.0033},
        {"epochs": 8},
        {"epochs": 2},
        {"lambda_cu": 3.0},
        {"lambda_cu": 0.33},
        {"omega": 4},
        {"omega": 1},
    ]


def test_a_step_beyond_the_range_ends_at_it_and_no_setting_comes_twice() -> None:
    config = config_of("rl", lr=0.08, epochs=1)
    changed = star_of(config, ranges("rl", config, space(epochs_max=1)))
    assert changed == [{"lr": 0.08, "epochs": 1}, {"lr": 0.1, "epochs": 1}, {"lr": 0.027, "epochs": 1}]


@pytest.mark.parametrize("name", known_methods())
def test_values_in_use_lie_within_whatever_the_block_says(name: str) -> None:
    config = config_of(name)
    bounds = ranges(name, config, space(lr_min=0.2, lr_max=0.2, epochs_max=1))
    assert set(bounds) == {"lr", "epochs", *method_search(name)}
    for key, (low, high) in bounds.items():
        assert low <= getattr(config, key) <= high
    for setting in star_of(config, bounds):
        type(config).model_validate({**config.model_dump(), **setting})


def test_what_is_suggested_lies_within_and_has_two_digits() -> None:
    config = config_of("cu", lr=0.01, epochs=4)
    bounds, study = ranges("cu", config, space()), optuna.create_study()
    for _ in range(20):
        for key, value in suggest(study.ask(), bounds).items():
            low, high = bounds[key]
            assert low * 0.95 <= value <= high * 1.05
            assert isinstance(value, int) or value == float(f"{value:.2g}")
