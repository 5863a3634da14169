"""stages/split.py as a whole: what it prints and writes."""

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import PARAMS
from unlearning.data.manifest import FORGET, MANIFEST

ImageTree = Callable[..., Path]
FOLDERS = [str(number) for number in range(12)]


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the stage with these blocks changed and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(typed: str = "", **blocks: dict[str, object]) -> str:
        values = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
        for name, changes in blocks.items():
            values[name] |= changes
        Path("params.yaml").write_text(yaml.safe_dump(values).replace("TYPED", typed))
        runpy.run_path(str(PARAMS.parent / "stages/split.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_each_class_to_forget_is_printed_first_with_its_folder_and_images(
    split: Callable[..., str], image_tree: ImageTree
) -> None:
    image_tree(Path("images/Train"), **dict.fromkeys(FOLDERS, 5))
    image_tree(Path("images/val"), **dict.fromkeys(FOLDERS, 2))
    image_tree(Path("images/Test"), **{name: 1 + int(name) for name in FOLDERS})
    printed = split(
        data={"name": "image_folder", "root": "images"}, forget={"scenario": "classes", "classes": ["2", "10", "2"]}
    )
    lines = printed.splitlines()
    assert lines[:4] == [
        "to forget: '10', at place 2 of the classes from 0, folder Train/10: 5 training, 2 validation, 11 test images",
        "to forget: '2', at place 4 of the classes from 0, folder Train/2: 5 training, 2 validation, 3 test images",
        "forget.classes: '2' is named 2 times",
        "validation split: the folder val; no data.validation_fraction is cut from Train",
    ]
    assert lines[4].endswith(": 60 training, 24 validation, 78 test images of 12 classes")
    assert json.loads(FORGET.read_text())["names"] == ["10", "2"]


def test_a_list_that_is_not_read_is_told(split: Callable[..., str]) -> None:
    lines = split(forget={"classes": [3], "count": 1}).splitlines()
    assert lines[1] == (
        "forget.classes is not read, as forget.scenario is 'random'; to use the list, set that to 'classes'"
    )


def test_images_that_are_no_files_have_no_folder(split: Callable[..., str]) -> None:
    first = split(forget={"scenario": "classes", "classes": [3]}).splitlines()[0]
    assert first == "to forget: '3', at place 3 of the classes from 0: 131 training, 15 validation, 37 test images"


TYPED = ["0x10", "1.50", "1_000", "1.0e+3", "010", "null", "true", "2020-01-01"]


def test_a_class_in_quotes_is_the_one_that_was_typed(split: Callable[..., str], image_tree: ImageTree) -> None:
    image_tree(Path("images"), **dict.fromkeys([*TYPED, "no", "008", "10", "16", "1.5", "1000"], 3))
    split(
        f"[{', '.join(map(repr, [*TYPED, 'no']))}]",
        data={"name": "image_folder", "root": "images"},
        forget={"scenario": "classes", "classes": "TYPED"},
    )
    assert sorted(json.loads(FORGET.read_text())["names"]) == sorted([*TYPED, "no"])


def test_a_class_that_yaml_reads_as_something_else_is_refused_with_what_to_write(
    split: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """DVC would compare another value than the name that is meant."""
    with pytest.raises(SystemExit):
        split(f"[no, {', '.join(TYPED)}]", forget={"scenario": "classes", "classes": "TYPED"})
    told = sorted(re.sub(r"line \d+", "line 9", line) for line in capsys.readouterr().err.splitlines())
    said = "error: params.yaml, line 9: forget.classes: {0} is no text to YAML; write '{0}', in quotes"
    assert told == sorted(said.format(typed) for typed in TYPED)


def test_a_refused_choice_overwrites_nothing(split: Callable[..., str], image_tree: ImageTree) -> None:
    image_tree(Path("images"), **dict.fromkeys(FOLDERS, 3))
    data = {"name": "image_folder", "root": "images"}
    split(data=data)
    before = MANIFEST.read_bytes(), FORGET.read_bytes()
    with pytest.raises(SystemExit):
        split(data=data, forget={"scenario": "classes", "classes": [2]})
    assert (MANIFEST.read_bytes(), FORGET.read_bytes()) == before
