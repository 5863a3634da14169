"""stages/audit.py: a model made elsewhere, from its file to the checkpoint and to what is printed."""

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open

from tests.conftest import SHAPE, changed, values_of_params
from tests.pipeline import ROOT
from unlearning.data.manifest import Manifest, save_manifest
from unlearning.errors import InputError
from unlearning.models.backbone import build
from unlearning.models.checkpoint import checkpoint_path, load_checkpoint
from unlearning.models.header import HEADER

Run = Callable[..., None]
MODEL = {"name": SHAPE.name, "kwargs": SHAPE.kwargs, "small_stem": SHAPE.small_stem, "pretrained": False}


@pytest.fixture
def run(world: Manifest, monkeypatch: pytest.MonkeyPatch) -> Run:  # noqa: ARG001
    """Return a function that runs a stage for a model, with the values at dotted keys replaced."""

    def stage(name: str, model: str, **changes: Any) -> None:
        own = {"model": MODEL, "seeds": [0, 1], "precision": "fp32", **changes}
        Path("params.yaml").write_text(yaml.safe_dump(changed(values_of_params(), own)), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", [f"{name}.py", model])
        runpy.run_path(str(ROOT / f"stages/{name}.py"))["main"]()

    return stage


def save_own(path: str, rows: list[int] | None = None) -> dict[str, torch.Tensor]:
    """Write a model as plain PyTorch does, of its head these rows alone; return all of its weights."""
    torch.manual_seed(3)
    weights = build(SHAPE).state_dict()
    torch.save({key: value[rows] if rows and key.startswith("fc.") else value for key, value in weights.items()}, path)
    return weights


def test_a_vendors_model_becomes_a_checkpoint_a_seed_without_cost_and_is_introduced_once(
    run: Run, world: Manifest, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = save_own("vendor.pth")
    run("audit", "vendor", audit={"vendor": {"checkpoint": "vendor.pth"}})
    said = capfd.readouterr().out
    assert said.count("audit.vendor, vendor.pth: accuracy on training / test images") == 1
    taken = [load_checkpoint(checkpoint_path("vendor", seed), world) for seed in (0, 1)]
    assert torch.equal(taken[0].model.state_dict()["fc.weight"], weights["fc.weight"])
    assert taken[0].header.stage == "audit@vendor"
    costs = json.loads(Path("metrics/cost/vendor.json").read_text())
    assert {seed: one["cost"] for seed, one in costs.items()} == {"0": None, "1": None}


def test_a_vendor_may_have_dropped_the_outputs_of_the_erased_classes(run: Run, world: Manifest) -> None:
    kept = [0, 2, 3, 5]
    weights = save_own("kept.pth", kept)
    run("audit", "vendor", audit={"vendor": {"checkpoint": "kept.pth"}})
    taken = load_checkpoint(checkpoint_path("vendor", 0), world).model.eval()
    assert torch.equal(taken.state_dict()["fc.weight"][kept], weights["fc.weight"][kept])
    with torch.no_grad():
        said = taken(torch.randn(50, 1, 8, 8)).argmax(dim=1)
    assert not torch.isin(said, torch.tensor([1, 4])).any()


def test_a_model_that_does_not_fit_is_named_by_its_key(run: Run) -> None:
    save_own("odd.pth", [0, 1, 2])
    with pytest.raises(InputError, match=r"audit\.vendor\.checkpoint: odd\.pth"):
        run("audit", "vendor", audit={"vendor": {"checkpoint": "odd.pth"}})
    with pytest.raises(InputError, match=r"audit\.vendor\.sha256: odd\.pth has SHA-256"):
        run("audit", "vendor", audit={"vendor": {"checkpoint": "odd.pth", "sha256": "00"}})


@pytest.mark.parametrize(("stage", "model"), [("audit", "vendor"), ("train", "retrained")])
def test_other_classes_to_forget_take_the_file_anew(run: Run, world: Manifest, stage: str, model: str) -> None:
    save_own("all.pth")
    given = {"audit": {"vendor": {"checkpoint": "all.pth"}}, "retrained.checkpoint": "all.pth"}
    run(stage, model, **given)
    save_manifest(replace(world, forget_classes=[2]))
    run(stage, model, **given)
    with safe_open(checkpoint_path(model, 0), framework="pt") as file:
        assert json.loads(file.metadata()[HEADER])["forget_classes"] == [2]
