import re
from collections.abc import Callable

import pytest

from tests.pipeline import ROOT
from unlearning.engine.launch import launch
from unlearning.evaluation import stopwatch
from unlearning.evaluation.stopwatch import Stopwatch


def measure_two_rounds(watch: Stopwatch) -> None:
    for seed in (0, 1):
        with watch.round(f"ec, seed {seed}"):
            for name in ("probes", "attacks"):
                with watch.part(name):
                    pass


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, float], str]:
    """Return a function that measures and returns what it wrote to stderr."""

    def run(terminal: bool, quiet: float) -> str:
        monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
        monkeypatch.setattr(stopwatch, "QUIET", quiet)
        measure_two_rounds(Stopwatch(launch("fp32"), 2))
        return capsys.readouterr().err

    return run


def test_a_terminal_shows_of_each_model_and_seed_which_part_is_measured(written: Callable[[bool, float], str]) -> None:
    shown = written(True, 30.0)
    seen = re.findall(r"(ec, seed \d): (\w+): +\d+%.*?(\d)/2", shown)
    assert ("ec, seed 0", "probes", "0") in seen
    assert ("ec, seed 1", "attacks", "2") in seen


def test_without_a_terminal_what_is_short_says_nothing_and_what_is_long_where_it_is(
    written: Callable[[bool, float], str],
) -> None:
    assert written(False, 30.0) == ""
    assert "ec, seed 0: attacks" in written(False, 0.0)


def test_the_report_has_each_part_once_over_all_rounds() -> None:
    watch = Stopwatch(launch("fp32"), 2)
    measure_two_rounds(watch)
    assert re.fullmatch(r"probes \d+\.\d s \(\d+%\), attacks \d+\.\d s \(\d+%\)", watch.report())


def test_as_many_parts_are_announced_as_are_measured() -> None:
    script = (ROOT / "src/unlearning/evaluation/measuring.py").read_text(encoding="utf-8")
    announced = re.search(r"^PARTS = (\d+)", script, flags=re.MULTILINE)
    assert announced
    assert int(announced[1]) == script.count("with watch.part(")
