"""Controls whose features nobody touched, on a trained classifier of digits: each score of depth must expose them."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import PARAMS
from unlearning.data.batches import ImageSplit, save_pixels
from unlearning.data.manifest import Manifest
from unlearning.data.samples import balanced_sample
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.evaluation.attacks import prototype_curves, target
from unlearning.evaluation.forward_pass import forward_pass
from unlearning.evaluation.information import measure_layers
from unlearning.evaluation.numbers import Passes, with_masks
from unlearning.evaluation.relearning import relearning_curves
from unlearning.evaluation.shared import PENULTIMATE
from unlearning.methods import method_config, method_program
from unlearning.metrics.alone.accuracy import split_accuracy
from unlearning.metrics.beside.cka import linear_cka
from unlearning.metrics.beside.head_recovery import recovered_accuracy, recovered_head
from unlearning.metrics.beside.idi import Trials, information_difference_index
from unlearning.models.backbone import architecture, build
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.sources import load_source
from unlearning.splitting.images import prepare
from unlearning.training.classifier import PARTS, train_classifier

EPOCHS = 6
CONTROLS = ["head_distill", "fresh_head"]
LAYER = "layer3"  # of IDI


@dataclass(frozen=True)
class Measured:
    test_forget_acc: float
    test_retain_acc: float
    scores: dict[str, float]  # percent or ratio: high where the features still know


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Measured]]:
    """Train an original, a retrained model and both controls; measure them and the original without head rows."""
    params = load_params(PARAMS)
    params = params.model_copy(update={"train": params.train.model_copy(update={"epochs": EPOCHS})})
    with contextlib.chdir(tmp_path_factory.mktemp("digits")):
        prepared = prepare(load_source(params.data), params.data, params.forget)
        for name, pixels in prepared.pixels.items():
            save_pixels(name, pixels)
        world = prepared.manifest
        models = {name: trained(name, world, params) for name in PARTS}
        models |= {name: unlearned(name, models["original"], world) for name in CONTROLS}
        models["zeroed rows"] = without_rows(models["original"], world)
        yield measure(models, world, params)


def trained(name: str, world: Manifest, params: Params) -> nn.Module:
    torch.manual_seed(0)
    model = build(architecture(params.model, world))
    run = run_of(name, model, world)
    run.drive(train_classifier(run, params.train, PARTS[name]))
    return model


def unlearned(name: str, original: nn.Module, world: Manifest) -> nn.Module:
    model = copy.deepcopy(original)
    run = run_of(name, model, world)
    run.drive(method_program(name)(run, method_config(name, PARAMS)))
    return model


def run_of(name: str, model: nn.Module, world: Manifest) -> Run:
    return Run(name, launch("fp32"), world, model, 0, ResumeState(Path(name)), show_progress=False)


def without_rows(original: nn.Module, world: Manifest) -> nn.Module:
    model = copy.deepcopy(original)
    with torch.no_grad():
        model.fc.weight[world.forget_classes] = 0.0
        model.fc.bias[world.forget_classes] = -100.0
    return model


def measure(models: dict[str, nn.Module], world: Manifest, params: Params) -> dict[str, Measured]:
    where = launch("fp32")
    train, test = (ImageSplit(world, split, where.device) for split in ("train", "test"))
    sample = balanced_sample(world.select("train", "forget"), world.select("train", "retain"), 200, 0)
    secret = torch.isin(torch.from_numpy(world.splits["train"].labels[sample]), torch.tensor(world.forget_classes))
    critics = params.mutual_information.model_copy(update={"trials": 1})
    passes: dict[str, Passes] = {}
    nats: dict[str, Trials] = {}
    for name, model in models.items():
        of_train = forward_pass(model, train, where, 256, name, None, [LAYER], [LAYER], sample, pool_maps=True)
        passes[name] = with_masks(of_train, forward_pass(model, test, where, 256, name, None, [LAYER]), world)
        found = measure_layers(model, of_train.maps, secret.long(), critics, where.device)
        nats[name] = {layer: [one["held_out"] for one in trials] for layer, trials in found.items()}
    few = params.attacks.model_copy(update={"shots": [1, 5, 20]})
    once = params.relearn.model_copy(update={"draws": 1})
    results = {}
    for name, model in models.items():
        victim = target(model, world, passes[name], train, test, few, where)
        imprinted = prototype_curves(victim, few, params.prototype)["forget"]
        relearned = relearning_curves(victim, few, once, params.prototype, params.linear_probe)["forget"]
        scores = {f"prototype {k}": value for k, value in imprinted.items()}
        scores |= {f"relearn {k}": value for k, value in relearned.items()}
        scores["cka"] = linear_cka(forgotten(passes["original"]), forgotten(passes[name]))
        head = recovered_head(passes[name].train.features[PENULTIMATE], passes["original"].train.logits)
        answers = passes[name].test.kept_labels[passes[name].test_forget]
        scores["head recovery"] = recovered_accuracy(head, forgotten(passes[name]), answers)
        scores["idi"] = information_difference_index(nats[name], nats["original"], nats["retrained"], 1e-6).idi
        own = passes[name].test
        results[name] = Measured(*split_accuracy(own.predictions, own.labels, passes[name].test_forget), scores)
    return results


def forgotten(passes: Passes) -> Tensor:
    return passes.test.features[PENULTIMATE][passes.test_forget]


@pytest.mark.parametrize("control", CONTROLS)
def test_the_controls_look_forgotten(measured: dict[str, Measured], control: str) -> None:
    original, one = measured["original"], measured[control]
    assert original.test_forget_acc > 90
    assert one.test_forget_acc <= 1
    assert one.test_retain_acc == pytest.approx(original.test_retain_acc, abs=5)


@pytest.mark.parametrize("control", CONTROLS)
def test_every_score_of_depth_exposes_the_controls(measured: dict[str, Measured], control: str) -> None:
    original, one = measured["original"].scores, measured[control].scores
    assert {name: value for name, value in one.items() if value < 0.8 * original[name]} == {}


def test_the_scores_can_tell_a_model_that_does_not_know(measured: dict[str, Measured]) -> None:
    original, retrained = measured["original"].scores, measured["retrained"].scores
    assert retrained["idi"] == 0
    lower = [name for name, value in retrained.items() if value < original[name] - 3]
    assert {"prototype 1", "cka", "head recovery"} <= set(lower)


def test_an_original_without_head_rows_scores_like_the_original(measured: dict[str, Measured]) -> None:
    original, zeroed = measured["original"].scores, measured["zeroed rows"].scores
    assert measured["zeroed rows"].test_forget_acc == 0
    for name in original:
        if name.startswith("prototype"):
            assert zeroed[name] == original[name]
        if name.startswith("relearn"):
            assert zeroed[name] == pytest.approx(original[name], abs=5)
