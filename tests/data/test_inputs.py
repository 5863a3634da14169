"""How a change of what lies outside git and DVC is known."""

import json
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PARAMS, changed
from unlearning import inputs
from unlearning.data.stamps import By
from unlearning.errors import InputError
from unlearning.inputs import INPUTS, Fingerprint, file_print, folder_print

VALUES = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
BOTH = pytest.mark.parametrize("by", ["times", "content"])
Stage = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two classes of two files each, all of one size."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "images" / name / f"{number}.png").write_text(f"{name}{number}")
    return tmp_path / "images"


def replaced(path: Path) -> None:
    """Give a file other content of the same size; its time is set, as two writes can fall into one tick of a clock."""
    path.write_text(path.read_text()[::-1])
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1000))


CHANGES: dict[str, Callable[[Path], object]] = {
    "added": lambda folder: (folder / "cat/new.png").touch(),
    "deleted": lambda folder: (folder / "cat/0.png").unlink(),
    "renamed": lambda folder: (folder / "cat/0.png").rename(folder / "cat/2.png"),
    "moved to another class": lambda folder: (folder / "cat/0.png").rename(folder / "dog/2.png"),
    "grown": lambda folder: (folder / "dog/1.png").write_text("larger"),
    "replaced in its size": lambda folder: replaced(folder / "dog/1.png"),
    "added deep below": lambda folder: ((folder / "cat/a/b").mkdir(parents=True), (folder / "cat/a/b/c.png").touch()),
}


@BOTH
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_a_folder_is_seen(folder: Path, by: By, change: Callable[[Path], object]) -> None:
    before = folder_print(folder, by)
    assert folder_print(folder, by) == before
    change(folder)
    assert folder_print(folder, by)["sha256"] != before["sha256"]


def test_a_fingerprint_says_how_many_files_and_bytes(folder: Path) -> None:
    seen = folder_print(folder, "times")
    assert (seen["files"], seen["bytes"], seen["by"]) == (4, 16, "times")


def test_a_touched_file_is_another_by_its_time_and_the_same_by_its_content(folder: Path) -> None:
    file = folder / "cat/0.png"

    def all_prints() -> dict[By, tuple[Fingerprint, Fingerprint]]:
        kinds: tuple[By, By] = ("times", "content")
        return {by: (folder_print(folder, by), file_print(file, by)) for by in kinds}

    before = all_prints()
    os.utime(file, ns=(1, 1))
    after = all_prints()
    assert after["content"] == before["content"]
    assert all(new != old for new, old in zip(after["times"], before["times"], strict=True))


@BOTH
def test_hidden_files_and_folders_and_links_to_nothing_are_left_out(folder: Path, by: By) -> None:
    before = folder_print(folder, by)
    (folder / "cat/.DS_Store").touch()
    (folder / ".cache").mkdir()
    (folder / ".cache/x.png").touch()
    (folder / "empty").mkdir()
    (folder / "cat/broken.png").symlink_to(folder / "nowhere")
    assert folder_print(folder, by) == before


def test_linked_folders_are_followed_and_a_circle_of_links_ends(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "owls").mkdir()
    (tmp_path / "owls/0.png").touch()
    (folder / "owl").symlink_to(tmp_path / "owls")
    (folder / "cat/again").symlink_to(folder)
    before = folder_print(folder, "times")
    assert before["files"] == 5
    (tmp_path / "owls/1.png").touch()
    assert folder_print(folder, "times") != before


def test_a_folder_fingerprint_does_not_depend_on_where_the_folder_is(folder: Path) -> None:
    before = folder_print(folder, "times")
    assert folder_print(folder.rename(folder.with_name("moved")), "times") == before


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stage:
    """Return a function that runs the stage with the values at dotted keys replaced and returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(changes: dict[str, Any]) -> str:
        Path("params.yaml").write_text(yaml.safe_dump(changed(VALUES, changes)), encoding="utf-8")
        runpy.run_path(str(PARAMS.parent / "stages/inputs.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def refusal(stage: Stage, capsys: pytest.CaptureFixture[str]) -> Stage:
    """Return a function that gives the one line with which the stage ends."""

    def run(changes: dict[str, Any]) -> str:
        with pytest.raises(SystemExit):
            stage(changes)
        [line] = capsys.readouterr().err.splitlines()
        return line.removeprefix("error: ")

    return run


def written(name: str) -> list[Fingerprint]:
    prints: list[Fingerprint] = json.loads((INPUTS / f"{name}.json").read_text())
    return prints


def keys_in(name: str) -> list[str]:
    return [str(one["key"]) for one in written(name)]


def test_the_default_reads_nothing_from_outside(stage: Stage) -> None:
    stage({})
    names = {str(path.relative_to(INPUTS).with_suffix("")) for path in INPUTS.rglob("*.json")}
    assert names == {"split", "shadow", *(f"models/{name}" for name in [*VALUES["references"], *VALUES["methods"]])}
    assert all(written(name) == [] for name in names)


def test_each_reader_has_what_it_reads_and_no_more(stage: Stage, folder: Path, tmp_path: Path) -> None:
    for name in ("mine.pt", "zero.pt", "one.pt", "list.txt"):
        (tmp_path / name).touch()
    stage(
        {
            "seeds": [0, 1],
            "data.name": "image_folder",
            "data.root": str(folder),
            "forget.scenario": "file",
            "forget.file": "list.txt",
            "model.pretrained": "mine.pt",
            "original.checkpoint": ["zero.pt", "one.pt"],
            "scar.surrogate": "images",
            "downstream": [
                {"name": "birds", "source": "image_folder", "root": "images"},
                {"name": "cifar", "source": "cifar10", "root": "not/downloaded/yet"},
            ],
        }
    )
    assert keys_in("split") == ["data.root", "forget.file", "original.checkpoint", "original.checkpoint"]
    assert keys_in("models/original") == ["original.checkpoint", "original.checkpoint"]
    assert keys_in("models/retrained") == keys_in("shadow") == ["model.pretrained"]
    assert keys_in("models/scar") == ["scar.surrogate", "model.pretrained"]
    assert keys_in("models/ec") == ["model.pretrained"]
    assert keys_in("sets/cifar") == []
    assert keys_in("sets/birds") == ["downstream: birds, root"]
    stage({})
    assert not (INPUTS / "sets/birds.json").exists()


@pytest.mark.parametrize("scenario", ["file", "samples"])
def test_the_list_of_what_to_forget_counts_by_its_content_alone(stage: Stage, tmp_path: Path, scenario: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text("3\n")
    own = {"forget.scenario": scenario, "forget.file": str(file)}
    stage(own)
    before = written("split")
    os.utime(file, ns=(1, 1))
    assert stage(own) == ""
    assert written("split") == before
    time = file.stat().st_mtime_ns
    file.write_text("4\n")
    os.utime(file, ns=(time, time))
    assert stage(own) == f"forget.file: {file}: changed; what reads it runs again\n"
    assert written("split") != before


def test_what_has_not_changed_is_not_written_again(stage: Stage) -> None:
    stage({})
    before = (INPUTS / "split.json").stat().st_ino
    stage({})
    assert (INPUTS / "split.json").stat().st_ino == before


def test_who_calls_dvc_in_the_folder_data_is_told_where_the_other_stages_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "data/dvc.yaml:inputs")
    assert stage({}) == ""
    monkeypatch.setenv("DVC_STAGE", "inputs")
    told = "this is the only stage of data/dvc.yaml; for the others call DVC in the root of the repository\n"
    assert stage({}) == told


def test_a_file_that_was_damaged_is_written_anew(stage: Stage) -> None:
    stage({})
    (INPUTS / "split.json").write_text("[{")
    stage({})
    assert written("split") == []


MISSING = [
    ({"data.name": "image_folder", "data.root": "gone"}, "data.root: no folder gone; it was looked for in /"),
    ({"data.name": "image_folder", "data.root": "/gone"}, "data.root: no folder /gone; check the path. If it was"),
    ({"forget.scenario": "file", "forget.file": "list.txt"}, "forget.file: no file list.txt; "),
    ({"original.checkpoint": "mine.pt"}, "original.checkpoint: no file mine.pt; "),
    ({"model.pretrained": "mine.pt"}, "model.pretrained: no file mine.pt; "),
    ({"scar.surrogate": "photos"}, "scar.surrogate: no folder photos; "),
    (
        {"downstream": [{"name": "birds", "source": "cub200", "root": "CUB"}]},
        "downstream: birds, root: no folder CUB; ",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISSING)
def test_what_is_missing_is_one_line_and_nothing_known_before_is_lost(
    stage: Stage, refusal: Stage, changes: dict[str, Any], message: str
) -> None:
    stage({})
    before = {path: path.read_bytes() for path in INPUTS.rglob("*.json")}
    line = refusal(changes)
    assert line.startswith(message)
    assert line.endswith("`inputs: kept` in params.yaml keeps what was made of it")
    assert {path: path.read_bytes() for path in INPUTS.rglob("*.json")} == before


def test_a_relative_path_is_told_to_fail_in_a_copy_of_the_workspace(refusal: Stage) -> None:
    assert "make it absolute for `dvc exp run --temp` and `--queue`" in refusal({"original.checkpoint": "mine.pt"})


def test_what_is_kept_may_be_gone(stage: Stage, folder: Path) -> None:
    own = {"data.name": "image_folder", "data.root": str(folder)}
    stage(own)
    before = written("split")
    folder.rename(folder.with_name("elsewhere"))
    stage({**own, "inputs": "kept"})
    assert written("split") == before


def test_what_is_kept_is_that_of_the_same_path(refusal: Stage, stage: Stage, folder: Path) -> None:
    own = {"data.name": "image_folder", "data.root": str(folder)}
    stage(own)
    assert refusal({**own, "data.root": "other", "inputs": "kept"}).startswith("data.root: no folder other; ")


def test_what_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: bytes) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(inputs.os, "scandir", refuse)
    with pytest.raises(InputError, match=rf"^data\.root: cannot read {folder} \(Permission denied\); make it readable"):
        inputs.Outside("data.root", folder, folder=True).fingerprint("times")


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


NO_LISTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "is no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
    "a folder": (Path.mkdir, "is no regular file"),
    "a terabyte": (large, "has 1000000 MB"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "no file list.txt"),
}


@pytest.mark.parametrize(("make", "says"), NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_of_classes_is_refused_and_never_waited_for(
    refusal: Stage, make: Callable[[Path], object], says: str
) -> None:
    make(Path("list.txt"))
    assert says in refusal({"forget.scenario": "file", "forget.file": "list.txt"})


def test_what_is_no_regular_file_within_a_folder_is_never_opened(folder: Path) -> None:
    before = folder_print(folder, "content")
    os.mkfifo(folder / "cat/x.png")
    (folder / "cat/y.png").symlink_to("/dev/zero")
    assert folder_print(folder, "content") == before
