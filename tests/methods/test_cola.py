import math
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.conftest import SHAPE, config_of, weights_of
from unlearning.engine.launch import Launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.losses.supcon import supcon
from unlearning.methods import cola, cola_ec
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules

RETAIN_BATCHES = 64 // 8  # of the small world
ONE_POINT = {"layer_weights": [0.0, 0.0, 0.0, 1.0], "modules": False, "layer_ce": False}
BF16 = Launch(torch.device("cpu"), rank=0, world=1, dtype=torch.bfloat16)
PROGRAMS = {"cola": cola.unlearn, "cola_ec": cola_ec.unlearn}
CLASSIFIER = ["fc.weight", "fc.bias"]


def with_modules(make_run, **options):
    run = make_run(**options)
    torch.manual_seed(1)
    run.modules = ec_modules(run.model)
    return run


def states_before_each_step(run, program):
    """Drive a program to its end; returns the weights before every step and after the last."""
    states = []

    def recorded():
        for loss in program:
            states.append(weights_of(run.network))
            yield loss

    run.drive(recorded())
    return [*states, weights_of(run.network)]


def changed(before, after):
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def batches_seen(run):
    """Return a list that fills with the batches of the run as they are counted."""
    seen, count = [], run.count

    def counted(batch, part):
        seen.append(batch)
        count(batch, part)

    run.count = counted
    return seen


def plain_supcon(z, labels, tau):
    """The formula, anchor by anchor, in float64; every anchor here has a positive."""
    s = (z.detach().double() @ z.detach().double().T / tau).tolist()
    total = 0.0
    for i, own in enumerate(labels):
        others = [a for a in range(len(labels)) if a != i]
        positives = [p for p in others if labels[p] == own]
        denominator = math.log(sum(math.exp(s[i][a]) for a in others))
        total -= sum(s[i][p] - denominator for p in positives) / len(positives)
    return total / len(labels)


def first_collapse_batch(twin, config):
    """Return the batch that a run like `twin` begins with; the twin's model is put into training mode."""
    twin.optimise(twin.model, config)
    return next(twin.visit("retain", config.batch_size, config.augment, 1, config.views))


def penultimate(model, images):
    return model.forward_head(model.forward_features(images), pre_logits=True)


def test_the_first_loss_is_supcon_on_the_normalised_penultimate_feature(make_run) -> None:
    config = config_of("cola")
    batch = first_collapse_batch(twin := make_run(folder="twin"), config)
    z = F.normalize(penultimate(twin.model, batch.images), dim=1)
    run = make_run()
    loss = next(cola.unlearn(run, config))
    assert loss.item() == pytest.approx(plain_supcon(z, batch.labels.tolist(), config.tau), rel=1e-4)


def test_the_first_loss_of_the_ec_form_is_the_weighted_sum_over_the_pooled_outputs_of_the_modules(make_run) -> None:
    config = config_of("cola_ec")
    batch = first_collapse_batch(twin := with_modules(make_run, folder="twin"), config)
    model, modules, stages = twin.model, twin.launch.place(twin.modules).train(), {}
    for name in modules:
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda module, inputs, output, name=name: stages.update({name: output}))  # noqa: ARG005
    final = penultimate(model, batch.images)
    features = [modules[name](stages[name]).mean(dim=(2, 3)) for name in modules] + [final]
    losses = [plain_supcon(F.normalize(h, dim=1), batch.labels.tolist(), config.tau) for h in features]
    expected = sum(weight * loss for weight, loss in zip(config.layer_weights, losses, strict=True))
    run = with_modules(make_run)
    assert next(cola_ec.unlearn(run, config)).item() == pytest.approx(expected, rel=1e-4)


def test_the_collapse_moves_the_encoder_alone_and_the_alignment_the_classifier_too(make_run) -> None:
    run = make_run()
    states = states_before_each_step(run, cola.unlearn(run, config_of("cola", collapse_epochs=2, epochs=1)))
    begin, middle, end = (states[step] for step in (0, 2 * RETAIN_BATCHES, -1))
    names = {f"model.{name}" for name, _ in run.model.named_parameters()}
    classifier = {f"model.{name}" for name in CLASSIFIER}
    assert changed(begin, middle) & names == names - classifier
    assert changed(middle, end) & names == names
    assert all(parameter.requires_grad for parameter in run.model.parameters())


def test_the_collapse_of_the_ec_form_moves_modules_but_no_head_and_the_alignment_both(make_run) -> None:
    run = with_modules(make_run)
    states = states_before_each_step(run, cola_ec.unlearn(run, config_of("cola_ec", collapse_epochs=2, epochs=1)))
    begin, middle, end = (states[step] for step in (0, 2 * RETAIN_BATCHES, -1))
    names = {name for name, _ in run.network.named_parameters()}
    heads = {name for name in names if name.startswith("heads.")}
    assert len(heads) == 3 * 2
    assert changed(begin, middle) & names == names - heads - {f"model.{name}" for name in CLASSIFIER}
    assert changed(middle, end) & names == names
    assert all(parameter.requires_grad for parameter in run.network.parameters())


@pytest.mark.parametrize(("method", "weights"), [("cola", [1.0]), ("cola_ec", [0.2, 0.4, 0.8, 1.0])])
def test_the_first_loss_of_the_alignment_is_cross_entropy_at_each_point(make_run, method: str, weights: list) -> None:
    run = with_modules(make_run)
    seen = batches_seen(run)
    program = PROGRAMS[method](run, config_of(method, epochs=1))
    run.drive(islice(program, RETAIN_BATCHES))
    loss = next(program)
    images, labels = seen[-1].images, seen[-1].labels
    points = run.network.train()(images)
    losses = [F.cross_entropy(point.logits, labels) for point in points]
    expected = sum(weight * value for weight, value in zip(weights, losses, strict=True))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("views", [1, 2])
def test_a_batch_of_the_collapse_holds_each_image_once_in_every_view(make_run, views: int) -> None:
    run = make_run()
    seen = batches_seen(run)
    config = config_of("cola", collapse_epochs=1, epochs=1, views=views)
    progress = run.drive(cola.unlearn(run, config))
    collapse, align = seen[:RETAIN_BATCHES], seen[RETAIN_BATCHES:]
    assert {len(batch.images) for batch in collapse} == {views * config.batch_size}
    assert {len(batch.images) for batch in align} == {config.batch_size}
    assert all(len(batch.positions.unique()) == config.batch_size for batch in collapse)
    assert progress.samples == RETAIN_BATCHES * config.batch_size * (views + 1)


def test_the_two_views_of_an_image_are_augmented_differently(make_run) -> None:
    run = make_run()
    config = config_of("cola")
    batch = first_collapse_batch(run, config)
    first, second = batch.images.chunk(2)
    assert torch.equal(*batch.positions.chunk(2))
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("views", [1, 2])
def test_with_two_views_every_anchor_has_a_positive(make_run, views: int) -> None:
    run = make_run()
    seen = batches_seen(run)
    config = config_of("cola", views=views, batch_size=4)
    run.drive(islice(cola.unlearn(run, config), 64 // 4))
    assert len(seen) == 64 // 4
    fewest = min((batch.labels[:, None] == batch.labels).sum(dim=1).min() for batch in seen)
    assert fewest == views


@pytest.mark.parametrize("method", ["cola", "cola_ec"])
@pytest.mark.parametrize(("collapse", "align"), [(1, 1), (3, 2)])
def test_there_is_a_step_for_each_retain_batch_of_both_phases(make_run, method: str, collapse: int, align: int) -> None:
    run = with_modules(make_run)
    progress = run.drive(PROGRAMS[method](run, config_of(method, collapse_epochs=collapse, epochs=align)))
    assert progress.step == (collapse + align) * RETAIN_BATCHES
    assert progress.epochs == [collapse, align]
    assert [row["epoch"] for row in progress.rows] == list(range(1, collapse + align + 1))


def test_the_ec_form_with_only_the_final_point_is_cola(make_run) -> None:
    plain, deep = make_run(name="same"), with_modules(make_run, name="same", folder="deep")
    plain.drive(cola.unlearn(plain, config_of("cola")))
    deep.drive(cola_ec.unlearn(deep, config_of("cola_ec", **ONE_POINT)))
    expected, actual = weights_of(plain.model), weights_of(deep.model)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_the_ec_form_with_every_point_is_not_cola(make_run) -> None:
    plain, deep = make_run(name="same"), with_modules(make_run, name="same", folder="deep")
    plain.drive(cola.unlearn(plain, config_of("cola")))
    deep.drive(cola_ec.unlearn(deep, config_of("cola_ec")))
    assert (plain.model.layer1[0].conv1.weight - deep.model.layer1[0].conv1.weight).abs().max() > 0.001


@pytest.mark.parametrize("method", ["cola", "cola_ec"])
def test_only_the_alignment_ends_early(make_run, method: str) -> None:
    run = with_modules(make_run)
    config = config_of(method, collapse_epochs=3, epochs=4, stop_at_forget_acc=100.0)
    progress = run.drive(PROGRAMS[method](run, config))
    assert progress.epochs == [3, 1]
    assert ["forget_acc" in row for row in progress.rows] == [False, False, False, True]


def test_in_bf16_the_collapse_is_measured_in_float32(world) -> None:
    config = config_of("cola")
    run = Run("test", BF16, world, build(SHAPE), 0, ResumeState(Path("scratch")))
    features = []
    run.model.fc.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))  # noqa: ARG005
    seen = batches_seen(run)
    loss = next(cola.unlearn(run, config))
    [feature], [batch] = features, seen
    assert feature.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    z = F.normalize(feature.double(), dim=1)
    assert loss.item() == pytest.approx(plain_supcon(z, batch.labels.tolist(), config.tau), abs=1e-4)
    with run.launch.autocast():
        in_bf16 = supcon(z.float(), batch.labels, config.tau)
    assert abs(in_bf16.item() - loss.item()) > 1e-4
