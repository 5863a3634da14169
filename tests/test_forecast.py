import json
from pathlib import Path

import pytest

from unlearning.forecast import TIMES, Forecast, key_of, known_times, readable

KEYS = {"train@original": "t", "unlearn@cu": "c", "unlearn@ec": "e", "compare": "x"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def timed(**seconds: float) -> dict[str, dict[str, object]]:
    names = {"train": "train@original", "cu": "unlearn@cu", "ec": "unlearn@ec", "compare": "compare"}
    return {names[short]: {"seconds": value, "key": KEYS[names[short]]} for short, value in seconds.items()}


def test_where_all_were_timed_the_rest_is_their_sum() -> None:
    forecast = Forecast(KEYS, timed(train=100, cu=10, ec=20, compare=30))
    assert forecast.line("train@original") == "stage 1 of 4: train@original, about 3 min left in all"
    assert forecast.line("unlearn@ec") == "stage 3 of 4: unlearn@ec, about 50 s left in all"


def test_a_stage_that_was_not_timed_takes_as_long_as_others_of_its_kind() -> None:
    forecast = Forecast(KEYS, timed(cu=10, compare=30))
    assert forecast.line("unlearn@cu") == "stage 2 of 4: unlearn@cu, roughly 50 s left in all"


def test_where_nothing_is_known_of_a_stage_the_rest_takes_at_least_what_is_known_and_nothing_is_made_up() -> None:
    assert Forecast(KEYS, timed(cu=10)).line("unlearn@cu") == "stage 2 of 4: unlearn@cu, at least 20 s left in all"
    assert Forecast(KEYS, {}).line("unlearn@cu") == "stage 2 of 4: unlearn@cu"


def test_a_time_under_other_parameters_counts_for_nothing() -> None:
    times = timed(compare=30)
    assert Forecast({**KEYS, "compare": "other"}, times).line("compare") == "stage 4 of 4: compare"


def test_a_stage_that_was_not_planned_is_said_to_be_one_more() -> None:
    assert Forecast(KEYS, {}).line("split") == "one stage more: split"


def test_what_a_stage_took_is_known_to_the_next_run() -> None:
    Forecast(KEYS, known_times()).note("compare", 12.34)
    assert Forecast(KEYS, known_times()).line("compare") == "stage 4 of 4: compare, about 13 s left in all"


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"compare": 3}', '{"compare": {"seconds": "x", "key": "x"}}', "\x00"]
)
def test_a_broken_file_of_times_is_as_good_as_none(text: str) -> None:
    TIMES.parent.mkdir()
    TIMES.write_text(text)
    assert known_times() == {}


def test_times_that_cannot_be_kept_end_nothing() -> None:
    TIMES.parent.write_text("a file stands in the place of the folder")
    Forecast(KEYS, {}).note("compare", 1.0)


def test_the_key_depends_on_the_values_and_on_how_stages_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {key_of({"lr": 0.1}), key_of({"lr": 0.2})}
    monkeypatch.setenv("LAUNCH", "torchrun --nproc_per_node=4")
    assert len(keys | {key_of({"lr": 0.1})}) == 3


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (59, "59 s"), (61, "2 min"), (5400, "1.5 h")])
def test_times_are_rounded_up(seconds: float, said: str) -> None:
    assert readable(seconds) == said


def test_the_file_of_times_is_one_that_a_person_can_read() -> None:
    Forecast(KEYS, {}).note("compare", 12.34)
    assert json.loads(TIMES.read_text()) == {"compare": {"seconds": 12.3, "key": "x"}}
