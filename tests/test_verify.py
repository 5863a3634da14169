"""`unlearning verify` on a real DVC repository with a stage of its own, its files damaged as DVC does not notice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearning.errors import InputError
from unlearning.verify import differences, md5_of, outputs_of, problems, verdict

PIPELINE = """
stages:
  make:
    cmd: mkdir -p out/in && printf one > out/a.txt && printf two > out/in/b.txt && printf three > c.txt
    outs: [out, c.txt]
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a stage with a file and a folder as outputs, hard links into the cache, and go there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    Path("dvc.yaml").write_text(PIPELINE)
    for command in (["init", "--no-scm", "-q"], ["config", "cache.type", "hardlink"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True)
    return tmp_path


def test_what_dvc_wrote_is_as_it_was_and_a_bit_flipped_through_a_hard_link_is_noticed(pipeline: Path) -> None:  # noqa: ARG001
    outputs = outputs_of((Path("dvc.lock"),))
    assert sorted((str(out.path), out.md5) for out in outputs) == [
        ("c.txt", md5_of(Path("c.txt"))),
        ("out", md5_of(Path("out"))),
    ]
    assert problems(outputs) == []

    file = Path("out/in/b.txt")
    before = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.write(b"x")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = problems(outputs)
    assert found[0] == "out is not what make wrote, by dvc.lock"
    assert "in DVC's cache is damaged: remove it, then `dvc repro --force make`" in found[1]
    assert len(found) == 2


def test_a_missing_output_and_a_missing_lock_say_what_to_run(pipeline: Path) -> None:  # noqa: ARG001
    Path("c.txt").unlink()
    assert problems(outputs_of((Path("dvc.lock"),))) == ["c.txt is missing: `dvc checkout`, or `dvc repro make`"]
    with pytest.raises(InputError, match="no.lock not found"):
        outputs_of((Path("no.lock"),))
    Path("dvc.lock").write_text("stages: 3")
    with pytest.raises(InputError, match=r"dvc\.lock is not what DVC writes"):
        outputs_of((Path("dvc.lock"),))


@pytest.mark.parametrize(
    ("again", "good", "said"),
    [
        ({"a": 1.0, "b": {"c": [2.0, None]}}, True, "the same numbers"),
        ({"a": 1.1, "b": {"c": [2.0, None]}}, True, "the same but for rounding (1 differ, most a: 0.1 apart)"),
        ({"a": 9.0, "b": {"c": [2.1, None]}}, False, "OTHER NUMBERS (2 differ, most a: 8 apart)"),
        ({"a": 1.0, "b": {"c": [2.0, 3.0]}}, False, "OTHER NUMBERS (1 differ, most b.c.1: there is another thing)"),
        ({"a": 1.0}, False, "OTHER NUMBERS"),
    ],
)
def test_numbers_are_compared_one_by_one(again: dict[str, object], good: bool, said: str) -> None:
    found = verdict("ec", 0, differences({"a": 1.0, "b": {"c": [2.0, None]}}, again))
    assert found[0] is good
    assert said in found[1]
