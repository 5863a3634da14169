"""The one door, `unlearning <command>`, and the other ways to it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import ROOT
from unlearning.commands import known_commands, main, parser
from unlearning.scenario import known_scenarios


def output_of(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=folder)


def test_the_help_lists_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for name in known_commands():
        assert re.search(rf"^    {name}\s+\S.{{15,}}", text, flags=re.MULTILINE), name


@pytest.mark.parametrize("name", known_commands())
def test_the_help_of_each_has_examples_that_it_understands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    _, _, examples = capsys.readouterr().out.partition("examples:\n")
    typed = re.findall(r"^  unlearning (\S+(?: \S+)*)", examples, flags=re.MULTILINE)
    assert typed
    for words in typed:
        assert parser().parse_args(words.split()).run.__module__ == f"unlearning.commands.{name}"


def test_the_help_needs_no_torch() -> None:
    program = "import sys; from unlearning.commands import parser; parser(); print('torch' in sys.modules)"
    assert output_of("-c", program).stdout == "False\n"


def test_a_typo_in_a_command_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["exprot"])
    assert "export" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-m", "unlearning", "scenario"], ["-m", "unlearning.scenario"]])
def test_the_module_is_a_door_too(words: list[str]) -> None:
    assert output_of(*words).stdout.split() == known_scenarios()


def test_an_error_is_one_line_by_either_door(tmp_path: Path) -> None:
    for words in (["-m", "unlearning", "check"], ["-m", "unlearning.check"]):
        done = output_of(*words, folder=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"error: params\.yaml .*\n", done.stderr)
