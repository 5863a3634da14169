import numpy as np
import pytest
import torch

from tests.conftest import RECIPE, config_of, weights_of
from tests.engine.test_run import plain
from tests.losses.test_distillation import plain as plain_distillation
from unlearning.data.batches import ImageSplit
from unlearning.engine.validation import accuracy
from unlearning.evaluation.forward_pass import PENULTIMATE, forward_pass
from unlearning.losses.distillation import without_classes
from unlearning.methods import head_distill, method_program
from unlearning.metrics.beside.cka import linear_cka
from unlearning.metrics.beside.h_mean import h_mean, normalised_scores
from unlearning.models.taps import evaluation_layers
from unlearning.params import CONTROLS, Recipe

PERFECT = {"forget_acc": 0.0, "retain_acc": 100.0, "test_forget_acc": 0.0, "test_retain_acc": 100.0}


def features_of(run, split: str) -> dict[str, torch.Tensor]:
    images = ImageSplit(run.manifest, split, run.launch.device)
    return forward_pass(run.model, images, run.launch, 16, split, layers=evaluation_layers(run.model)).features


def test_first_loss_is_the_distillation_from_the_masked_original(make_run) -> None:
    config = config_of("head_distill", temperature=2.0)
    run, twin = make_run(name="head_distill"), make_run(name="head_distill", folder="twin")
    loss = next(head_distill.unlearn(run, config))
    twin.optimise(twin.model, config)
    batch = next(twin.batches("all", config))
    logits = twin.model.eval()(batch.images).detach().double()
    expected = plain_distillation(logits, without_classes(logits, torch.tensor([1, 4])), 2.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("changes", [{}, {"weight_decay": 0.1}, {"optimizer": "adam", "lr": 0.01}])
def test_only_the_classifier_of_a_control_moves(make_run, control: str, changes: dict) -> None:
    run = make_run(name=control)
    before, features = weights_of(run.model), features_of(run, "test")
    run.drive(method_program(control)(run, config_of(control, **changes)))
    after = weights_of(run.model)
    moved = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert moved == {"fc.weight", "fc.bias"}
    for layer, value in features_of(run, "test").items():
        assert torch.equal(value, features[layer]), layer


def test_perfect_accuracies_with_untouched_features_that_the_scores_expose(make_run) -> None:
    original = make_run(folder="original")
    original.drive(plain(original, Recipe(**{**RECIPE, "epochs": 12})))
    retain = original.manifest.select("train", "retain")
    retained = accuracy(original.model, original.whole_split, retain, original.launch)
    assert original.forget_acc() > 90
    assert retained > 90
    run = make_run(name="head_distill", folder="control")
    run.model.load_state_dict(original.model.state_dict())
    rows = run.drive(head_distill.unlearn(run, config_of("head_distill", epochs=8, lr=0.1))).rows
    assert run.forget_acc() == 0
    assert rows[-1]["validation_forget_acc"] == 0
    assert accuracy(run.model, run.whole_split, retain, run.launch) == pytest.approx(retained, abs=5)

    features, own = features_of(original, "test")[PENULTIMATE], features_of(run, "test")[PENULTIMATE]
    labels = original.manifest.splits["test"].labels
    forget = torch.from_numpy(np.isin(labels, original.manifest.forget_classes))
    cka = linear_cka(features[forget], own[forget])
    assert cka == pytest.approx(100, abs=1e-9)
    assert h_mean(normalised_scores(PERFECT | {"cka": cka, "idi": 1.0})) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("depth", "lowest", "highest"),
    [
        ({"cka": 100.0, "idi": 1.0}, 0, 0),
        ({"cka": 100.0}, 0, 0),
        ({"idi": 1.0}, 0, 40),
        ({"cka": 20.0, "idi": 0.1}, 90, 100),
        ({}, 100, 100),
    ],
)
def test_only_scores_of_depth_tell_the_control_from_true_erasure(depth: dict, lowest: float, highest: float) -> None:
    assert lowest <= h_mean(normalised_scores(PERFECT | depth)) <= highest
