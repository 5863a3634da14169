import pytest

from unlearning.errors import InputError
from unlearning.metrics.idi import relative_difference

ORIGINAL, RETRAINED = {"a": 0.5, "b": 0.6}, {"a": 0.3, "b": 0.3}


def test_original_is_1_and_retrained_0() -> None:
    assert relative_difference(ORIGINAL, ORIGINAL, RETRAINED, 0.05).idi == pytest.approx(1)
    assert relative_difference(ORIGINAL, ORIGINAL, RETRAINED, 0.05).idi_abs == pytest.approx(1)
    assert relative_difference(RETRAINED, ORIGINAL, RETRAINED, 0.05).idi == 0
    assert relative_difference(RETRAINED, ORIGINAL, RETRAINED, 0.05).idi_abs == 0


def test_is_signed_and_opposite_signs_cancel_only_in_idi() -> None:
    result = relative_difference({"a": 0.4, "b": 0.2}, ORIGINAL, RETRAINED, 0.05)
    assert result.idi == pytest.approx(0, abs=1e-12)
    assert result.idi_abs == pytest.approx(0.2 / 0.5)
    assert result.differences == pytest.approx({"a": 0.1, "b": -0.1})
    assert relative_difference({"a": 0.1, "b": 0.1}, ORIGINAL, RETRAINED, 0.05).idi == pytest.approx(-0.4 / 0.5)


@pytest.mark.parametrize("original", [{"a": 0.31, "b": 0.31}, {"a": 0.1, "b": 0.1}])
def test_a_small_or_negative_denominator_is_an_error_that_says_what_to_change(original: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"idi\.floor = 0\.05.*mutual_information.*epochs"):
        relative_difference(ORIGINAL, original, RETRAINED, 0.05)
