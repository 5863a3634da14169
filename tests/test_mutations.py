"""A damaged params.yaml is either right, or told in lines that name what is wrong: no traceback, no hang, no essay.

Each failure prints the seed of its file; FIRST_MUTATION in the environment is the first one tried.
"""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos import Ended, tried, tries
from tests.conftest import PARAMS, values_of_params
from tests.mutations import mutated
from unlearning import check
from unlearning.errors import run_stage

pytestmark = pytest.mark.chaos
COUNT = tries(60, 1000)
FIRST = int(os.environ.get("FIRST_MUTATION", "0"))
KEYS = set(values_of_params())
LONGEST_LINE, LONGEST_SECONDS = 200, 20
# "error: params.yaml: " and a key, "error: params.yaml, line 3: ", or what the file is.
TOLD = re.compile(r"(error|warning): params\.yaml(: .+|, line \d+: .+| (is|has|holds|should|cannot) .+)")


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail what takes longer."""

    def stop(*_: object) -> None:
        raise AssertionError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(seed: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Check a damaged file; return "right" or "refused", or what is wrong with how it was told."""
    Path("params.yaml").write_bytes(mutated(PARAMS.read_text(encoding="utf-8"), seed))
    code: object = 0
    try:
        with within(LONGEST_SECONDS):
            run_stage(check.check_all)
    except SystemExit as ended:
        code = ended.code
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    said = capsys.readouterr().err
    lines = said.splitlines()
    if said and (wrong := next((line for line in lines if len(line) > LONGEST_LINE or not TOLD.fullmatch(line)), None)):
        return f"said: {wrong}"
    errors = [line for line in lines if line.startswith("error")]
    if nameless := next((line for line in errors if not names_a_key(line)), None):
        return f"names no key: {nameless}"
    if code not in (0, 1) or bool(errors) != (code == 1):
        return f"code {code} with {len(errors)} errors"
    if len(set(errors)) < len(errors):
        return f"said twice: {errors}"
    return "refused" if errors else "right"


def names_a_key(line: str) -> bool:
    """Return whether a line names a key that the file has, or should have, or a line of the file, or the file."""
    said = line.removeprefix("error: params.yaml")
    if not said.startswith(": "):
        return True
    key = said.removeprefix(": ").partition(": ")[0].split(".")[0]
    known = "".join(key.split()[:1])[:10]  # of a key of several lines the first
    return key in KEYS or known in Path("params.yaml").read_text(encoding="utf-8", errors="replace")


def test_every_damaged_file_is_right_or_told_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcomes = {seed: outcome(seed, capsys) for seed in range(FIRST, FIRST + COUNT)}
    failed = {seed: told for seed, told in outcomes.items() if told not in ("right", "refused")}
    for told, ended in (("right", Ended.SAME), ("refused", Ended.TOLD)):
        tried("mutations of `params.yaml`, by `unlearning check`", ended, list(outcomes.values()).count(told))
    assert not failed, "\n".join(f"{seed}: {told[:300]}" for seed, told in failed.items())
    assert COUNT < 60 or {"right", "refused"} == set(outcomes.values())


def test_the_same_seed_damages_in_the_same_way() -> None:
    text = PARAMS.read_text(encoding="utf-8")
    assert [mutated(text, seed) for seed in range(20)] == [mutated(text, seed) for seed in range(20)]
    assert len({mutated(text, seed) for seed in range(20)}) > 15
