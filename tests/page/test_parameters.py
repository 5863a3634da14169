import subprocess
from pathlib import Path

import pytest

from tests.conftest import PARAMS, values_of_params
from unlearning.page.parameters import Difference, defaults, differences, meanings
from unlearning.page.provenance import commit

TEXT = """\
seeds:  # whole repetitions
- 0
train:  # of both models
  lr: 0.1  # peak # rate
  augment:
    flip: 0.0  # probability
ec:
  lr: 0.2
"""


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], check=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with one commit, of TEXT as params.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(TEXT)
    git("init", "--quiet")
    git("add", "params.yaml")
    git("commit", "--quiet", "--message", "first")
    return tmp_path


def test_values_that_differ_are_named_with_what_they_mean() -> None:
    default = {"seeds": [0, 1], "train": {"lr": 0.1, "augment": {"flip": 0.0}}, "gone": 1, "same": None}
    here = {"seeds": [0], "train": {"lr": 0.2, "augment": {"flip": 0.0}}, "new": None, "same": None}
    assert differences(default, here, TEXT) == [
        Difference("seeds", "[0, 1]", "[0]", "whole repetitions"),
        Difference("train.lr", "0.1", "0.2", "peak # rate"),
        Difference("new", "not there", "empty", ""),
        Difference("gone", "1", "not there", ""),
    ]


def test_every_comment_of_params_yaml_is_found_at_its_key() -> None:
    assert meanings(TEXT) == {
        "seeds": "whole repetitions", "train": "of both models", "train.lr": "peak # rate", "train.augment": "",
        "train.augment.flip": "probability", "ec": "", "ec.lr": "",
    }  # fmt: skip
    found, values = meanings(PARAMS.read_text(encoding="utf-8")), values_of_params()
    assert found["ec.lr"]
    assert found["model.name"].startswith("any timm classifier")
    assert set(values) <= set(found)
    assert {f"train.{key}" for key in values["train"]} <= set(found)


def test_defaults_are_those_of_the_last_commit(repository: Path) -> None:
    (repository / "params.yaml").write_text(TEXT.replace("0.2", "0.5"))
    known = defaults()
    assert known is not None
    assert known.values["ec"]["lr"] == 0.2
    assert commit() == f"{known.commit}, with changes that were not committed"


def test_in_a_clone_they_are_those_of_where_it_came_from(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("clone", "--quiet", str(repository), str(repository / "mine"))
    monkeypatch.chdir(repository / "mine")
    Path("params.yaml").write_text(TEXT.replace("0.2", "0.5"))
    git("commit", "--quiet", "--all", "--message", "mine")
    known = defaults()
    assert known is not None
    assert known.values["ec"]["lr"] == 0.2
    assert commit() != known.commit
    assert "not committed" not in commit()


def test_without_git_nothing_is_known_and_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert defaults() is None
    assert commit().startswith("unknown")
    monkeypatch.setenv("PATH", "")
    assert defaults() is None
    assert commit().startswith("unknown")


def test_a_block_that_was_empty_is_told_by_its_keys_alone() -> None:
    full: dict[str, object] = {"audit": {"vendor": {"checkpoint": "a.pt"}}}
    assert [one.key for one in differences({"audit": {}}, full, "")] == ["audit.vendor.checkpoint"]
    assert [one.key for one in differences(full, {"audit": {}}, "")] == ["audit.vendor.checkpoint"]
