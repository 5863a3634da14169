"""A second request after the first, by the real stages on the digits: erase two classes, then one more."""

import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open

from tests.conftest import PARAMS, values_of_params
from unlearning.data.manifest import load_earlier, load_manifest
from unlearning.page.earlier import BACK, NEVER_GONE, STAY
from unlearning.page.verdict import UNTOLD

STAGES = PARAMS.parent / "stages"
FIRST, SECOND = [2, 8], [5]
SMALL: dict[str, dict[str, Any]] = {
    "data": {"workers": 0},
    "train": {"epochs": 4},
    "attacks": {"shots": [5]},
    "relearn": {"steps": 2, "draws": 1},
    "retain_only": {"steps": 2},
    "mutual_information": {"layers": []},
    "rl": {"epochs": 3},
    "figures": {"models": ["rl"], "queries": 1, "neighbours": 2},
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs a stage in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def stage(name: str, *arguments: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [f"{name}.py", *arguments])
            runpy.run_path(str(STAGES / f"{name}.py"), run_name="__main__")

    return stage


def write_params(**forget_and_original: Any) -> None:
    values = values_of_params()
    values |= {"seeds": [0], "methods": {"rl": {"start": "original"}}, "headline": "rl"}
    values["references"].pop("retrained")
    for key, own in {**SMALL, **forget_and_original}.items():
        values[key] |= own
    Path("params.yaml").write_text(yaml.safe_dump(values))


def details_of(model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"metrics/details/{model}.json").read_text())
    return found


def word_on(model: str) -> str:
    """Return what the page says of the classes erased before."""
    row = re.search(rf'<tr data-again="{model}">.*?</tr>', Path("metrics/report.html").read_text(), re.DOTALL)
    assert row
    return next(word for word in (STAY, BACK, NEVER_GONE, UNTOLD) if word in row[0])


def test_two_classes_then_one_more_and_nothing_of_the_first_comes_back_but_where_it_was_never_gone(
    run: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    write_params(forget={"scenario": "classes", "classes": FIRST})
    run("inputs")
    run("split")
    run("train", "original")
    run("unlearn", "rl")
    shutil.copy("models/rl/0.safetensors", "erased.safetensors")
    shutil.copy("models/original/0.safetensors", "knowing.safetensors")
    first = load_manifest()

    write_params(
        forget={"scenario": "classes", "classes": SECOND, "before": FIRST},
        original={"checkpoint": "erased.safetensors"},
        audit={"knowing": {"checkpoint": "knowing.safetensors"}},
    )
    run("inputs")
    run("split")
    second, earlier = load_manifest(), load_earlier()
    assert second.hash == first.hash  # so the test images are still those that the model has not seen
    assert not set(second.splits["train"].labels) & set(FIRST)
    assert earlier is not None
    assert earlier.forget_classes == FIRST
    capfd.readouterr()
    run("train", "original")
    seen = capfd.readouterr()
    assert "all erased before (2, 8): " in seen.out
    assert "it knows classes that were erased before" not in seen.err
    run("audit", "knowing")
    assert "it knows classes that were erased before (2, 8): is it the model that they" in capfd.readouterr().err
    run("unlearn", "rl")
    for model in ("original", "rl", "knowing"):
        run("evaluate", model)
    run("compare")
    run("report")

    with safe_open("models/rl/0.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["unlearning"])
    assert (header["forget_classes"], header["erased_before"]) == (SECOND, FIRST)
    before, after = details_of("original")["earlier"], details_of("rl")["earlier"]
    assert before["metrics"]["forget_acc"] < 5  # the first request had been met
    assert after["metrics"]["forget_acc"] <= before["metrics"]["forget_acc"] + 1
    assert after["metrics"]["test_forget_acc"] <= before["metrics"]["test_forget_acc"] + 1
    assert list(after["mean"]["relearn"]["forget"]) == ["5"]
    own = json.loads(Path("metrics/models/rl.json").read_text())
    original = json.loads(Path("metrics/models/original.json").read_text())
    assert own["forget_acc"] < 10 < 50 < original["forget_acc"]  # the second has been met, by this run
    report = Path("metrics/report.md").read_text()
    assert "Erased by earlier requests: 2, 8." in report
    assert details_of("knowing")["earlier"]["metrics"]["forget_acc"] > 50
    assert {model: word_on(model) == BACK for model in ("original", "rl", "knowing")} == {
        "original": False, "rl": False, "knowing": True
    }  # fmt: skip
