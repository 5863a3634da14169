"""Whose results stand in metrics/ and plots/ is told from dvc.lock."""

import copy
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PARAMS, changed
from unlearning.errors import InputError
from unlearning.other_results import (
    of_this_split,
    outputs,
    refuse_another_split,
    remove_results_of_another_split,
    section,
)
from unlearning.yaml_text import as_dvc_reads

PIPELINE = PARAMS.with_name("dvc.yaml")
CHOSEN = {
    "data": {"name": "digits", "root": "data/raw", "mean": None, "resident_gb": 4.0, "workers": 2, "lr": 0.00001},
    "forget": {"classes": ["no", "010", 3], "file": None},
}
SPLIT = {
    "deps": [{"path": "data/inputs/split.json", "md5": "same"}],
    "params": {"params.yaml": CHOSEN},
    "outs": [{"path": "data/forget.json", "md5": "chosen"}, {"path": "data/split", "md5": "x.dir"}],
}
COMPARE = {"deps": [{"path": "stages/compare.py", "md5": "x"}, {"path": "data/forget.json", "md5": "chosen"}]}


def test_results_are_of_this_split_where_all_that_was_recorded_is_the_same() -> None:
    assert of_this_split(SPLIT, COMPARE, {**CHOSEN, "seeds": [5]}, "same")


@pytest.mark.parametrize("change", [{"data.workers": 0}, {"data.resident_gb": 0.5}, {"data.root": "elsewhere"}])
def test_how_images_are_read_makes_no_other_split(change: dict[str, Any]) -> None:
    assert of_this_split(SPLIT, COMPARE, changed(CHOSEN, change), "same")


@pytest.mark.parametrize(
    ("split", "compare", "chosen", "inputs"),
    [
        (SPLIT, COMPARE, changed(CHOSEN, {"forget.classes": ["no", "010", 4]}), "same"),
        (SPLIT, COMPARE, changed(CHOSEN, {"data.mean": [0.5]}), "same"),
        (SPLIT, COMPARE, {"data": CHOSEN["data"]}, "same"),
        (SPLIT, COMPARE, CHOSEN, "other"),
        ({**SPLIT, "deps": []}, COMPARE, CHOSEN, "same"),
        (SPLIT, {"deps": [{"path": "data/forget.json", "md5": "other"}]}, CHOSEN, "same"),
        (SPLIT, {}, CHOSEN, "same"),
        ({**SPLIT, "outs": []}, {}, CHOSEN, "same"),
        ({}, {}, CHOSEN, "same"),
    ],
    ids=[
        "other classes", "other data", "no choice", "files changed", "files unknown", "another split was run since",
        "never compared", "neither", "no lock",
    ],
)  # fmt: skip
def test_results_are_of_another_split_where_anything_differs(
    split: dict[str, Any], compare: dict[str, Any], chosen: dict[str, Any], inputs: str
) -> None:
    assert not of_this_split(split, compare, chosen, inputs)


def test_a_stage_is_read_out_of_the_text_as_the_whole_text_says() -> None:
    text = PARAMS.with_name("dvc.lock").read_text(encoding="utf-8")
    stages = as_dvc_reads(text)["stages"]
    assert [section(text, name) for name in ("split", "compare")] == [stages["split"], stages["compare"]]
    assert section(text.rstrip(), list(stages)[-1]) == stages[list(stages)[-1]]
    assert section(text, "spli") == section("", "split") == {}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that writes a workspace with results whose split is that of `inputs`."""
    monkeypatch.chdir(tmp_path)

    def write(inputs: str, compare: dict[str, Any] = COMPARE) -> Path:
        shutil.copy(PIPELINE, "dvc.yaml")
        Path("params.yaml").write_text(yaml.safe_dump(CHOSEN))
        for name in ("data/inputs/split.json", "metrics/models/ec.json", "metrics/search/ec.csv", "plots/tsne.png",
                     "plots/mine.png", "metrics/report.md", "metrics/compared.json", "metrics/raw/ec.json",
                     "plots/curves/ec.csv"):  # fmt: skip
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text("[]\n")
        split = copy.deepcopy(SPLIT)
        stages = {"split": split, "compare": compare, "report": copy.deepcopy(COMPARE)}
        split["deps"] = [{"path": "data/inputs/split.json", "md5": hashlib.md5(inputs.encode()).hexdigest()}]
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
        return tmp_path

    return write


def test_a_split_of_other_values_is_refused_with_the_block(workspace: Callable[[str], Path]) -> None:
    workspace("[]\n")
    refuse_another_split()
    Path("params.yaml").write_text(yaml.safe_dump(changed(CHOSEN, {"data.workers": 7})))
    refuse_another_split()
    Path("params.yaml").write_text(yaml.safe_dump(changed(CHOSEN, {"forget.classes": ["yes"]})))
    with pytest.raises(InputError, match=r"^params\.yaml: forget: data/split was made with other values;"):
        refuse_another_split()
    Path("dvc.lock").unlink()
    refuse_another_split()


def test_results_of_this_split_stay(workspace: Callable[[str], Path]) -> None:
    workspace("[]\n")
    assert remove_results_of_another_split() == []
    assert Path("metrics/models/ec.json").exists()


def test_results_of_another_split_go_and_nothing_else(workspace: Callable[[str], Path]) -> None:
    folder = workspace("[1]\n")
    removed = {Path("metrics/models"), Path("plots/tsne.png"), Path("metrics/report.md"), Path("metrics/compared.json")}
    assert set(remove_results_of_another_split()) == removed
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {
        "dvc.yaml", "dvc.lock", "params.yaml", "data/inputs/split.json", "metrics/search/ec.csv", "plots/mine.png",
        "metrics/raw/ec.json", "plots/curves/ec.csv",
    }  # fmt: skip
    assert remove_results_of_another_split() == []


def test_of_two_stages_only_the_one_that_saw_another_split_loses_its_results(
    workspace: Callable[..., Path],
) -> None:
    workspace("[]\n", {"deps": [{"path": "data/forget.json", "md5": "other"}]})
    assert remove_results_of_another_split() == [Path("metrics/compared.json")]
    assert Path("metrics/report.md").exists()


def test_results_without_a_lock_are_of_another_split(workspace: Callable[[str], Path]) -> None:
    workspace("[]\n")
    Path("dvc.lock").unlink()
    assert Path("metrics/report.md") in remove_results_of_another_split()


def test_outputs_are_those_that_the_pipeline_names() -> None:
    pipeline = PIPELINE.read_text(encoding="utf-8")
    assert list(outputs(section(pipeline, "compare"))) == [Path("metrics/compared.json")]
    named = set(map(str, outputs(section(pipeline, "report"))))
    assert {"metrics/models", "metrics/headline.json", "metrics/report.md", "plots/tsne.png"} <= named
    assert not any(name in ("metrics", "plots", "metrics/raw") for name in named)
