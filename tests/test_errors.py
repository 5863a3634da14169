import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import ROOT, heed_signals
from unlearning.errors import InputError, and_more, did_you_mean, run_stage


@pytest.mark.parametrize(
    ("word", "hint"),
    [("trian", " (did you mean 'train'?)"), ("tes", " (did you mean 'test'?)"), ("zebra", ""), ("", "")],
)
def test_the_nearest_known_word_is_suggested(word: str, hint: str) -> None:
    assert did_you_mean(word, ["train", "test"]) == hint


def test_of_some_names_the_first_is_shown_and_how_many_more_there_are() -> None:
    assert (and_more(["a"]), and_more(["a", "b", "c"])) == ("a", "a and 2 more")


@pytest.mark.parametrize("kind", [InputError, PermissionError])
def test_a_users_error_ends_the_stage_in_one_line_with_code_1(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise kind("x.png is broken; remove it")

    with pytest.raises(SystemExit) as ended:
        run_stage(main)
    assert ended.value.code == 1
    assert ended.value.__suppress_context__
    assert capsys.readouterr() == ("", "error: x.png is broken; remove it\n")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ([], "interrupted; the same command goes on\n"),
        (["cu, seed 1: saved"], "interrupted: cu, seed 1: saved; the same command goes on\n"),
    ],
)
def test_ctrl_c_ends_the_stage_in_one_line_with_code_130(
    said: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise KeyboardInterrupt(*said)

    with pytest.raises(SystemExit) as ended:
        run_stage(main)
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    "command", [["stages/train.py", "original"], ["stages/evaluate.py", "cu"], ["stages/inputs.py"]]
)
def test_ctrl_c_while_a_stage_loads_its_libraries_is_one_line_too(command: list[str], tmp_path: Path) -> None:
    """The signal comes while the first module that is no standard one is loaded: `unlearning` must stand before it."""
    program = (
        "import os, runpy, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'numpy', 'ruamel'):\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv[:] = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command[0] = str(ROOT / command[0])
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tmp_path,
        env={**os.environ, "DVC_STAGE": "some"},
        capture_output=True,
        text=True,
        preexec_fn=heed_signals,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted; the same command goes on\n")


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage(main)


def test_a_stage_that_succeeds_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    done = []
    run_stage(lambda: done.append(True))
    assert done == [True]
    assert capsys.readouterr() == ("", "")
