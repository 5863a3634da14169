"""stages/train.py with a classifier that the user gives, from the file to the checkpoint and to what is printed."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from torch import Tensor

from tests.conftest import SHAPE, changed, values_of_params
from tests.pipeline import ROOT
from unlearning.files import sha256_of
from unlearning.models.backbone import build
from unlearning.models.header import HEADER

Take = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def take(monkeypatch: pytest.MonkeyPatch) -> Take:
    """Return a function that runs the stage for "original" or "retrained" and returns the first seed's checkpoint."""
    model = {"name": SHAPE.name, "kwargs": SHAPE.kwargs, "small_stem": SHAPE.small_stem, "pretrained": False}
    values = values_of_params()

    def run(block: str, **given: Any) -> Path:
        changes = {f"{block}.{key}": value for key, value in given.items()}
        own = changed(values, {"model": model, "seeds": [0, 1], "precision": "fp32", **changes})
        Path("params.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["train.py", block])
        runpy.run_path(str(ROOT / "stages/train.py"))["main"]()
        return Path(f"models/{block}/0.safetensors")

    return run


def own_weights() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return build(SHAPE).state_dict()


def test_a_given_model_is_introduced_once_and_its_header_names_its_file(
    take: Take, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = own_weights()
    torch.save({"model": weights, "model_ema": {f"module.{key}": 2 * value for key, value in weights.items()}}, "a.pth")
    path = take("original", checkpoint="a.pth")
    said = capfd.readouterr()
    assert said.out.count("a.pth: weights taken from model; original.checkpoint_key chooses another: model_ema") == 1
    assert said.out.count("original, a.pth: accuracy on training / test images") == 1
    assert "warning: original.checkpoint: a.pth: data.mean or data.std is empty" in said.err
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()[HEADER])["source"] == f"{sha256_of(Path('a.pth'))} a.pth"
        assert torch.equal(file.get_tensor("model.fc.weight"), weights["fc.weight"])


def test_another_key_of_the_same_file_is_another_model(take: Take) -> None:
    weights = own_weights()
    torch.save({"model": weights, "model_ema": {key: 2 * value for key, value in weights.items()}}, "a.pth")
    first = take("original", checkpoint="a.pth").read_bytes()
    assert take("original", checkpoint="a.pth", checkpoint_key="model_ema").read_bytes() != first
    assert take("original", checkpoint="a.pth").read_bytes() == first


def test_the_retrained_model_may_have_the_kept_classes_outputs_alone(take: Take) -> None:
    kept, weights = [0, 2, 3, 5], own_weights()
    torch.save({key: value[kept] if key.startswith("fc.") else value for key, value in weights.items()}, "kept.pth")
    with safe_open(take("retrained", checkpoint="kept.pth"), framework="pt") as file:
        head = file.get_tensor("model.fc.weight")
    assert torch.equal(head[kept], weights["fc.weight"][kept])
    assert (head[[1, 4]] == 0).all()
