"""Evaluation and comparison where images are missing: a measure is blank with its reason, and all else is there."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import PARAMS, SHAPE, values_of_params, without_forget_images
from unlearning.data.batches import load_pixels, save_pixels
from unlearning.data.manifest import Manifest, Split, save_manifest
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, new_header, save_checkpoint

Numbers = dict[str, Any]
Measured = Callable[[Manifest], tuple[Numbers, Numbers, str]]
STAGES = PARAMS.parent / "stages"
SMALL: dict[str, dict[str, Any]] = {
    "data": {"workers": 0},
    "attacks": {"shots": [1]},
    "relearn": {"steps": 1, "draws": 1},
    "retain_only": {"steps": 1},
    "figures": {"models": ["ec"], "queries": 2, "neighbours": 2},
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Return a function that evaluates and compares untrained models on a manifest, without a retrained one.

    It gives metrics and details of `ec`, and the report.
    """

    def run(stage: str, *arguments: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [f"{stage}.py", *arguments])
            runpy.run_path(str(STAGES / f"{stage}.py"), run_name="__main__")

    def measure(manifest: Manifest) -> tuple[Numbers, Numbers, str]:
        save_manifest(manifest)
        values = values_of_params()
        values |= {"seeds": [0], "methods": {"ec": {"start": "original"}}, "headline": "ec"}
        values["references"].pop("retrained")
        for key, own in SMALL.items():
            values[key] |= own
        Path("params.yaml").write_text(yaml.safe_dump(values))
        Path("metrics/cost").mkdir(parents=True)
        for seed, (name, stage) in enumerate({"original": "train@original", "ec": "unlearn@ec"}.items()):
            torch.manual_seed(seed)
            header = new_header(SHAPE, manifest, stage, {})
            save_checkpoint(checkpoint_path(name, 0), Checkpoint(header, build(SHAPE), None))
            Path(f"metrics/cost/{name}.json").write_text(json.dumps({"0": {}}))
        for name in ("original", "ec"):
            run("evaluate", name)
        run("compare")
        for folder in ("metrics/raw", "metrics/cost"):  # the report needs the numbers of `compare` alone
            shutil.rmtree(folder)
        run("report")
        metrics, details = (json.loads(Path(f"metrics/{kind}/ec.json").read_text()) for kind in ("models", "details"))
        return metrics, details, Path("metrics/report.md").read_text()

    return measure


def test_with_all_images_nothing_is_blank(world: Manifest, measured: Measured) -> None:
    metrics, _, report = measured(world)
    expected = {"forget_acc", "retain_acc", "test_forget_acc", "test_retain_acc", "cka", "h_mean", "linear_probe"}
    assert set(metrics) == expected
    assert "left out" not in report.partition("## Notes")[2]


def test_without_any_image_to_forget_what_is_left_is_utility(world: Manifest, measured: Measured) -> None:
    metrics, details, report = measured(without_forget_images(world, "train", "validation", "test"))
    assert set(metrics) == {"retain_acc", "test_retain_acc"}
    assert "there is no training image to forget: FA, and all that is built on such images are left out" in report
    assert "there is no test image to forget that the model has not seen: TFA and MIA are left out" in report
    mean = details["mean"]
    assert mean["linear_probe"]["all"]["retain"] is not None
    assert mean["predictors"]["weight_distance"] > 0
    assert mean["prototype"]["forget"] == mean["relearn"]["forget"] == {}
    assert all(Path(f"plots/{name}.png").is_file() for name in ("tsne", "retrieval", "cka_layers", "relearn"))


def test_without_test_images_to_forget_the_training_images_still_tell(world: Manifest, measured: Measured) -> None:
    metrics, details, report = measured(without_forget_images(world, "test"))
    assert set(metrics) == {"forget_acc", "retain_acc", "test_retain_acc", "h_mean"}
    assert set(details["mean"]["h_mean_scores"]) == {"forget_acc", "retain_acc", "test_retain_acc"}
    assert "TFA and MIA are left out" in report
    assert "FA, and all" not in report


def test_training_images_that_stand_in_are_judged_by_and_hidden_from_the_attacker(
    world: Manifest, measured: Measured
) -> None:
    train = world.splits["train"]
    lent = np.sort(np.random.default_rng(0).permutation(len(train.labels))[:40])
    save_pixels("test", load_pixels("train")[torch.from_numpy(lent)].clone())
    stand_in = Split([train.ids[i] for i in lent], train.labels[lent], {n: int(i) for n, i in enumerate(lent)})
    metrics, details, report = measured(replace(world, splits=world.splits | {"test": stand_in}))
    assert set(metrics) == {"forget_acc", "retain_acc", "cka", "h_mean", "linear_probe"}
    mean = details["mean"]
    assert mean["judged"]["forget"] is not None
    assert list(mean["prototype"]["forget"]) == list(mean["relearn"]["forget"]) == ["1"]
    assert mean["membership"] is None
    assert mean["calibration_error"] is None
    assert mean["test_acc_per_class"] == [None] * len(world.classes)
    assert "TFA and MIA are left out" in report
    assert "TRA and ECE are left out" in report


def test_of_forgotten_samples_only_what_needs_no_missing_class_is_measured(world: Manifest, measured: Measured) -> None:
    samples = tuple(range(0, 96, 4))
    metrics, details, report = measured(replace(world, forget_classes=[], forget_samples=samples))
    assert set(metrics) == {"forget_acc", "retain_acc", "test_retain_acc", "mia_auc"}
    mean = details["mean"]
    assert mean["by_samples"] is True
    assert (
        mean["linear_probe"]["all"]["forget"]
        is mean["head_recovery"]["forget"]
        is mean["retain_only"]["forget"]
        is None
    )
    assert mean["prototype"]["forget"] == mean["relearn"]["forget"] == {}
    assert "Images were to be forgotten and their classes are kept" in report
    assert "FA → retrained's" in report
    assert "no training image" not in report
