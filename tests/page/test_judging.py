"""The rule behind every word, against cases worked out by hand."""

import pytest

from unlearning.page.judging import Says, Values, confirmed, judge, share_left

ORIGINAL, RETRAINED, ANOTHER = [100.0] * 3, [50.0, 52.0, 54.0], [52.0, 54.0, 50.0]  # noise: (2 + 2 + 4) / 3


def says(own: list[float], **changes: list[float] | None) -> Says:
    return judge(Values(own, **{"original": ORIGINAL, "untaught": RETRAINED, "another": ANOTHER} | changes), least=1.0)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (ORIGINAL, "as before"),
        (RETRAINED, "gone"),
        (ANOTHER, "gone"),
        ([0.0] * 3, "gone"),  # below: no better
        ([52.0, 54.0, 56.0], "gone"),  # by 2: within the noise of 2.67
        ([62.0, 64.0, 66.0], "left"),  # 12 of 48
        ([88.0, 90.0, 92.0], "left"),  # 38 of 48: 79 %
        ([89.0, 91.0, 93.0], "as before"),  # 39 of 48: 81 %
        ([50.0, 52.0, 74.0], "unclear"),  # by 20 in one seed of three
        ([54.0, 55.0, 57.0], "left"),  # by 4, 3, 3: above the noise in each
        ([52.5, 55.5, 57.5], "left"),  # by 2.5, 3.5, 3.5: not in each, but the t-test tells it from 0
    ],
)  # fmt: skip
def test_a_difference_counts_when_the_seeds_confirm_it(own: list[float], expected: Says) -> None:
    assert says(own) == expected


def test_what_cannot_tell_the_original_from_the_retrained_model_says_nothing() -> None:
    near = [value + 5 for value in RETRAINED]  # less than two noises
    assert says(near, original=near) == "blind"
    assert says(RETRAINED, original=near) == "blind"
    assert says(RETRAINED, original=RETRAINED) == "blind"


def test_one_seed_is_read_by_the_least_difference_alone() -> None:
    alone = {"original": [100.0], "untaught": [50.0], "another": None}
    assert judge(Values([54.0], **alone), least=5.0) == "gone"
    assert judge(Values([56.0], **alone), least=5.0) == "left"
    assert judge(Values([99.0], **alone), least=5.0) == "as before"


def test_without_an_untaught_model_there_is_nothing_to_read_by() -> None:
    assert says(ORIGINAL, untaught=None, another=None) == "no floor"


def test_equal_retrained_models_leave_the_least_difference_as_noise() -> None:
    zero = [0.0] * 3
    assert says([0.5, 1.0, 1.4], untaught=zero, another=zero) == "gone"
    assert says([1.5, 1.2, 1.4], untaught=zero, another=zero) == "left"


def test_the_share_is_of_what_there_was_to_erase() -> None:
    assert share_left(Values([75.0], [100.0], [50.0], None)) == 0.5
    assert share_left(Values([25.0], [100.0], [50.0], None)) == -0.5
    assert share_left(Values([50.0], [50.0], [50.0], None)) == float("inf")


def test_confirmed_needs_a_mean_above_the_noise() -> None:
    assert not confirmed([1.0, 1.0, 1.0], noise=2.0)  # certain, and too small
    assert confirmed([3.0, 2.5, 2.1], noise=2.0)
    assert not confirmed([9.0, 0.0], noise=2.0)
