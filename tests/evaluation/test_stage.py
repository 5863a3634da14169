"""stages/evaluate.py as a whole, on the small world."""

import json
import runpy
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from tests.conftest import PARAMS, SHAPE, values_of_params
from unlearning.data.manifest import Manifest
from unlearning.evaluation import measuring
from unlearning.evaluation.shared import load_shared
from unlearning.models import checkpoint
from unlearning.models.backbone import build

STAGE = PARAMS.parent / "stages/evaluate.py"
SMALL: dict[str, dict[str, Any]] = {
    "data": {"workers": 0},
    "evaluate": {"batch_size": 7},
    "attacks": {"shots": [1]},
    "relearn": {"steps": 1, "draws": 1},
    "retain_only": {"steps": 1},
    "mutual_information": {"trials": 2},
}


def write_params(
    seeds: tuple[int, ...] = (0,), max_images_per_device: int | None = None, **changes: dict[str, Any]
) -> None:
    values = values_of_params() | {"seeds": list(seeds), "max_images_per_device": max_images_per_device}
    for key, own in (SMALL | changes).items():
        values[key] |= own
    Path("params.yaml").write_text(yaml.safe_dump(values))


@pytest.fixture
def saved(world: Manifest) -> None:
    """Write untrained checkpoints of the original and of the method `ec`, for the seeds 0 and 1."""
    for name, stage in {"ec": "unlearn@ec", "original": "train@original"}.items():
        header = checkpoint.new_header(SHAPE, world, stage, {})
        for seed in range(2):
            torch.manual_seed(seed + 10 * (name == "original"))
            path = checkpoint.checkpoint_path(name, seed)
            checkpoint.save_checkpoint(path, checkpoint.Checkpoint(header, build(SHAPE), None))


def evaluate(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Run the stage and return what went through the loaded network itself, not through copies of it, per batch."""
    seen: list[Tensor] = []
    load = checkpoint.load_checkpoint

    def load_and_watch(path: Path, manifest: Manifest) -> checkpoint.Checkpoint:
        loaded = load(path, manifest)

        def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if module is loaded.model and path.parent.name == "ec":
                seen.append(inputs[0].cpu().clone())

        loaded.model.register_forward_pre_hook(count)
        return loaded

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "load_checkpoint", load_and_watch)
        patch.setattr(sys, "argv", ["evaluate.py", "ec"])
        runpy.run_path(str(STAGE), run_name="__main__")
    return seen


def raw(seed: int = 0) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads(Path("metrics/raw/ec.json").read_text())[str(seed)]["measured"]
    return numbers


@pytest.mark.usefixtures("saved")
def test_every_image_of_every_split_goes_through_the_model_exactly_once(
    world: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params()
    images = torch.cat(evaluate(monkeypatch))
    expected = sum(len(split.labels) for split in world.splits.values())
    assert len(images) == expected
    assert set(Counter(image.numpy().tobytes() for image in images).values()) == {1}


@pytest.mark.usefixtures("saved")
def test_the_stage_says_what_share_the_critics_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params()
    evaluate(monkeypatch)
    line = capsys.readouterr().out
    for part in ("forward passes", "metrics", "attacks", "relearning", "predictors", "IDI's critics"):
        assert f"{part} " in line
    assert line.count("%)") == 6


@pytest.mark.usefixtures("saved")
def test_everything_is_measured_and_the_shared_features_are_those_of_the_named_layers(
    world: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params()
    evaluate(monkeypatch)
    numbers = raw()
    assert set(numbers) == {
        "layers", "forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc", "judged", "validation",
        "train_acc_per_class",
        "test_acc_per_class", "collapse", "calibration_error", "linear_probe", "membership", "prototype",
        "relearn", "retain_only", "batchnorm", "predictors", "mutual_information", "label_entropy",
        "too_few",
    }  # fmt: skip
    assert [list(numbers[attack]["forget"]) for attack in ("prototype", "relearn")] == [["1"], ["1"]]
    assert set(numbers["relearn"]["chosen"]["1"]) == {"start", "lr"}
    assert [len(trials) for trials in numbers["mutual_information"].values()] == [2, 2, 2]
    shared = load_shared(Path("metrics/features/ec/0.safetensors"), numbers["layers"])
    assert len(shared.layers["penultimate"]) == len(world.select("test", "forget"))


@pytest.mark.usefixtures("saved")
def test_features_are_bounded_and_accuracies_use_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    write_params()
    evaluate(monkeypatch)
    accuracies = [raw()[key] for key in ("forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc")]
    write_params(evaluate={"batch_size": 7, "max_samples": 20, "shared_samples": 8})
    evaluate(monkeypatch)
    assert [raw()[key] for key in ("forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc")] == accuracies
    shared = load_shared(Path("metrics/features/ec/0.safetensors"), raw()["layers"])
    assert len(shared.train) == len(shared.test) == 8
    assert len(shared.train_forget_positions) < 20


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(("estimator", "dimensions"), [("cross_fitted", 2), ("info_nce", 4)])
def test_raw_maps_are_kept_for_the_estimator_that_needs_them_alone(
    monkeypatch: pytest.MonkeyPatch, estimator: str, dimensions: int
) -> None:
    write_params(mutual_information={"estimator": estimator, "trials": 1})
    kept: list[Tensor] = []
    measure = measuring.measure_layers

    def watch(model: nn.Module, features: dict[str, Tensor], *rest: Any) -> Any:
        kept.extend(features.values())
        return measure(model, features, *rest)

    monkeypatch.setattr(measuring, "measure_layers", watch)
    evaluate(monkeypatch)
    assert {values.dim() for values in kept} == {dimensions}
    assert all(0 <= trial["held_out"] <= 0.7 for trials in raw()["mutual_information"].values() for trial in trials)


@pytest.mark.usefixtures("saved")
def test_critics_and_relearning_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(attacks={"shots": []}, mutual_information={"layers": []})
    evaluate(monkeypatch)
    assert (raw()["prototype"]["forget"], raw()["relearn"]["forget"], raw()["mutual_information"]) == ({}, {}, {})


@pytest.mark.usefixtures("saved")
def test_each_seed_is_measured_once_whatever_stands_beside_it(
    world: Manifest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(seeds=(0,))
    evaluate(monkeypatch)
    first = raw(0)
    capsys.readouterr()
    write_params(seeds=(1, 0))
    images = torch.cat(evaluate(monkeypatch))
    assert len(images) == sum(len(split.labels) for split in world.splits.values())
    assert "evaluate@ec: seed 0 was finished before" in capsys.readouterr().out
    assert raw(0) == first
    assert raw(1)["test_acc_per_class"] != first["test_acc_per_class"]
    write_params(seeds=(0, 1))
    assert evaluate(monkeypatch) == []
    write_params(seeds=(1,))
    assert evaluate(monkeypatch) == []
    assert list(json.loads(Path("metrics/raw/ec.json").read_text())) == ["1"]
    assert [path.name for path in Path("metrics/features/ec").iterdir()] == ["1.safetensors"]
