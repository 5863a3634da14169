"""What a training stage leaves: real checkpoints of a small run, in the places dvc.yaml names."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RECIPE, SHAPE, weights_of
from unlearning.data.manifest import Manifest
from unlearning.engine.outputs import Outputs
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_checkpoint, new_header
from unlearning.params import Train
from unlearning.training.classifier import train_classifier

TRAIN = Train(**{**RECIPE, "epochs": 2}, label_smoothing=0.0)


def left_by(outputs: Outputs, seed: int, make_run: Callable[..., Run], world: Manifest, given: bool = False) -> Run:
    """Write what one seed leaves into the folder of that name; returns its run."""
    folder = Path(str(seed))
    folder.mkdir(exist_ok=True)
    run = make_run(folder=f"scratch{seed}", seed=seed)
    if not given:
        run.drive(train_classifier(run, TRAIN, "all"))
    checkpoint = Checkpoint(new_header(SHAPE, world, "train@original", {}), run.model, None)
    outputs.write(folder, checkpoint, None if given else run)
    return run


def test_each_seed_has_a_checkpoint_and_all_share_curves_and_cost(
    make_run: Callable[..., Run], world: Manifest
) -> None:
    outputs = Outputs("original")
    runs = {seed: left_by(outputs, seed, make_run, world) for seed in (3, 0)}
    outputs.collect({seed: Path(str(seed)) for seed in runs})
    assert sorted(path.name for path in Path("models/original").iterdir()) == ["0.safetensors", "3.safetensors"]
    for seed, run in runs.items():
        model = load_checkpoint(checkpoint_path("original", seed), world).model
        assert all((value == weights_of(model)[name]).all() for name, value in weights_of(run.model).items())
    rows = list(csv.DictReader(Path("plots/curves/original.csv").read_text().splitlines()))
    assert [(row["seed"], row["epoch"]) for row in rows] == [("3", "1"), ("3", "2"), ("0", "1"), ("0", "2")]
    cost = json.loads(Path("metrics/cost/original.json").read_text())
    assert list(cost) == ["3", "0"]
    assert all(cost[str(seed)]["cost"]["samples"] == run.progress.samples for seed, run in runs.items())


def test_a_model_that_was_given_has_neither_curves_nor_cost(make_run: Callable[..., Run], world: Manifest) -> None:
    outputs = Outputs("original")
    left_by(outputs, 0, make_run, world, given=True)
    outputs.collect({0: Path("0")})
    assert Path("plots/curves/original.csv").read_text() == "seed,epoch,step,lr,loss\n"
    assert json.loads(Path("metrics/cost/original.json").read_text())["0"]["cost"] is None


def test_the_checkpoint_of_a_seed_that_left_the_list_goes(make_run: Callable[..., Run], world: Manifest) -> None:
    outputs = Outputs("original")
    for seed in (0, 1):
        left_by(outputs, seed, make_run, world, given=True)
    outputs.collect({0: Path("0"), 1: Path("1")})
    outputs.collect({1: Path("1")})
    assert [path.name for path in Path("models/original").iterdir()] == ["1.safetensors"]
    assert list(json.loads(Path("metrics/cost/original.json").read_text())) == ["1"]


@pytest.mark.parametrize("folder", ["models", "metrics/cost", "plots/curves"])
def test_a_file_in_the_place_of_a_folder_is_named_before_any_work(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    Path(folder).write_text("")
    with pytest.raises(InputError, match=f"cannot make the folder {folder}"):
        Outputs("original")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written_to_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir(mode=0o555)
    with pytest.raises(InputError, match="no permission to write into models"):
        Outputs("original")
