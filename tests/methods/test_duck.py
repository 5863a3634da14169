import math
from functools import partial

import pytest
import torch

from tests.conftest import config_of, weights_of
from unlearning.data.batches import in_order
from unlearning.errors import InputError
from unlearning.methods import duck, duck_ec
from unlearning.methods.families.centroids import (
    Centroids,
    class_means,
    cosine_distance,
    distances,
    nearest,
    retained_centroids,
    retained_sums,
    second_phase,
)
from unlearning.methods.families.points import every_point, final_point
from unlearning.models.supervision import Supervision

RETAINED = [0, 2, 3, 5]
PROGRAMS = {"duck": duck.unlearn, "duck_ec": duck_ec.unlearn}


def features_of(model, images):
    return model.forward_head(model.forward_features(images), pre_logits=True)


def stage_features(run, images, modules):
    """The pooled features at layer1 ... layer3, through the EC modules or raw, and the penultimate feature."""
    model = run.model
    maps = model.maxpool(model.act1(model.bn1(model.conv1(images))))
    found = []
    for name in ("layer1", "layer2", "layer3"):
        maps = model.get_submodule(name)(maps)
        found.append((run.modules[name](maps) if modules else maps).mean(dim=(2, 3)))
    return [*found, model.global_pool(model.layer4(maps))]


@torch.no_grad()
def scanned(run, part, read):
    """What `read` gives for each single image of a part in eval mode, by position."""
    run.model.eval()
    run.modules.eval()
    plans = in_order(run.manifest.select("train", part), 1)
    return {int(batch.positions): read(batch.images) for batch in run.whole_split.batches(plans)}


def plain_means(run, features):
    """The mean feature of each retained class, image by image."""
    labels = run.manifest.splits["train"].labels
    groups = [[feature[0] for position, feature in features.items() if labels[position] == c] for c in RETAINED]
    return [sum(group) / len(group) for group in groups]


def cosine(a, b):
    a, b = a.detach().double(), b.detach().double()
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def plain_target(feature, means):
    return max(range(len(means)), key=lambda number: cosine(feature, means[number]))


def plain_distance(features, centroids):
    return sum(1 - cosine(*pair) for pair in zip(features, centroids, strict=True)) / len(features)


def plain_ce(logits, labels, temperature, smoothing):
    total = 0.0
    for row, label in zip((logits.double() / temperature).tolist(), labels.tolist(), strict=True):
        logs = [value - math.log(sum(math.exp(other) for other in row)) for value in row]
        total -= (1 - smoothing) * logs[label] + smoothing * sum(logs) / len(logs)
    return total / len(labels)


def test_centroids_are_the_mean_features_of_all_images_of_each_retained_class(trained_run) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    run.scan = partial(run.scan, batch_size=7)
    [sums] = retained_sums(run, final_point(run).network)
    assert sums[:, -1].tolist() == [16, 0, 16, 16, 0, 16]
    expected = plain_means(twin, scanned(twin, "retain", partial(features_of, twin.model)))
    torch.testing.assert_close(class_means(sums), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_statistics_leave_mode_and_running_means_alone(trained_run) -> None:
    run = trained_run()
    run.model.train()
    before = weights_of(run.model)
    retained_centroids(run, final_point(run).network)
    assert run.model.bn1.training
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())


def test_each_forget_image_has_the_retained_class_nearest_to_it_as_target(trained_run) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    [centroids] = retained_centroids(run, final_point(run).network)
    read = partial(features_of, twin.model)
    means = plain_means(twin, scanned(twin, "retain", read))
    expected = {position: plain_target(h[0], means) for position, h in scanned(twin, "forget", read).items()}
    assert {position: int(centroids.targets[position]) for position in expected} == expected
    assert len(set(expected.values())) > 1
    assert len(centroids.means) == len(RETAINED)


def test_nearest_goes_by_angle_not_by_length() -> None:
    means = torch.tensor([[0.9, 0.5], [10.0, 0.0], [-1.0, 0.0]])
    assert nearest(torch.tensor([[1.0, 0.0], [0.2, 0.2], [-3.0, 1.0]]), means).tolist() == [1, 0, 2]


def test_cosine_distance_equals_the_formula() -> None:
    random = torch.Generator().manual_seed(0)
    features, targets = torch.randn(5, 7, generator=random), torch.randn(5, 7, generator=random)
    assert cosine_distance(features, targets).item() == pytest.approx(plain_distance(features, targets), rel=1e-5)


def test_cosine_distance_is_0_along_a_target_and_2_against_it() -> None:
    features = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.5, 0.1]])
    assert cosine_distance(features, 4 * features).item() == pytest.approx(0, abs=1e-6)
    assert cosine_distance(features, -0.1 * features).item() == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.5},
        {"label_smoothing": 0.3},
        {"lambda_forget": 0.0, "lambda_retain": 0.7},
        {"lambda_forget": 2.5, "lambda_retain": 0.0},
    ],
)
def test_the_first_loss_is_distance_and_cross_entropy_of_separate_passes(trained_run, changes: dict) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    cfg = config_of("duck", **changes)
    loss = next(duck.unlearn(run, cfg))
    read = partial(features_of, twin.model)
    means = plain_means(twin, scanned(twin, "retain", read))
    targets = {position: plain_target(h[0], means) for position, h in scanned(twin, "forget", read).items()}
    twin.optimise(twin.model, cfg)
    forget, retain = next(twin.pairs(cfg, cfg.retain_per_forget))
    h_f, h_r = features_of(twin.model, forget.images), features_of(twin.model, retain.images)
    chosen = [targets[position] for position in forget.positions.tolist()]
    distance = plain_distance(h_f, [means[number] for number in chosen])
    ce = plain_ce(twin.model.fc(h_r), retain.labels, cfg.temperature, cfg.label_smoothing)
    assert loss.item() == pytest.approx(cfg.lambda_forget * distance + cfg.lambda_retain * ce, rel=1e-4, abs=1e-5)


def test_distance_is_to_the_samples_own_target_and_not_to_the_nearest_centroid() -> None:
    point = Supervision(torch.tensor([[1.2, 1.6]]), logits=None)
    centroids = Centroids(torch.tensor([[0.0, 3.0], [2.0, 0.0]]), torch.tensor([0, 0, 1]))
    assert distances([point], torch.tensor([2]), [centroids])[0].item() == pytest.approx(1 - 0.6)
    assert distances([point], torch.tensor([1]), [centroids])[0].item() == pytest.approx(1 - 0.8)


def test_targets_stay_those_of_the_original_when_the_network_has_changed(trained_run, make_run) -> None:
    run, twin, other = trained_run(), trained_run(folder="twin"), make_run(folder="other", seed=5).model
    cfg = config_of("duck", lambda_retain=0.0)
    losses = duck.unlearn(run, cfg)
    next(losses)
    run.model.load_state_dict(other.state_dict())
    loss = next(losses)
    [old] = retained_centroids(twin, final_point(twin).network)
    forget = next(twin.visit("forget", cfg.batch_size, cfg.augment, 1))
    features = features_of(other.train(), forget.images)
    targets = old.targets[forget.positions]
    assert not torch.equal(targets, nearest(features, old.means))
    torch.testing.assert_close(loss, cosine_distance(features, old.means[targets]), rtol=1e-4, atol=1e-5)


def test_every_forget_batch_has_its_forget_loss(trained_run) -> None:
    run, losses = trained_run(), []
    cfg = config_of("duck", epochs=1, retain_per_forget=1, second_epochs=0, lambda_retain=0.0)

    def program():
        for loss in duck.unlearn(run, cfg):
            losses.append(loss.item())
            yield loss

    run.drive(program())
    assert len(losses) == 4
    assert min(losses) > 0


@pytest.mark.parametrize(("changes", "second"), [({}, 3 * 2), ({"second_epochs": 0}, 0)])
def test_takes_the_steps_of_both_phases(trained_run, changes: dict, second: int) -> None:
    run = trained_run()
    sizes = {"retain_per_forget": 3, "second_epochs": 3, "second_batch_size": 24}
    progress = run.drive(duck.unlearn(run, config_of("duck", **{**sizes, **changes})))
    first = 2 * (32 // 8) * 3
    assert progress.step == first + second
    assert progress.samples == first * (8 + 8) + second * (8 + 24)


def test_the_second_phase_has_its_share_of_the_rate_and_lowers_it_by_a_cosine(trained_run) -> None:
    run, rates = trained_run(), []
    cfg = config_of("duck", schedule="constant", lr=0.01, second_lr=0.3, second_epochs=2, second_batch_size=16)

    def program():
        for loss in duck.unlearn(run, cfg):
            yield loss
            rates.append(run.optimizer.param_groups[0]["lr"])

    run.drive(program())
    assert rates[:-8] == [0.01] * (2 * 4 * cfg.retain_per_forget)
    assert rates[-8:] == pytest.approx([0.003 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
    assert run.progress.rows[-1]["lr"] == rates[-1]


@pytest.mark.parametrize("lambda_forget", [0.0, 3.0])
def test_the_second_phase_joins_a_tenth_of_the_distance_to_the_cross_entropy(trained_run, lambda_forget: float) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    cfg = config_of("duck", lambda_forget=lambda_forget, lambda_retain=7.0, second_batch_size=16, label_smoothing=0.1)
    points = final_point(run)
    [centroids] = retained_centroids(run, points.network)
    loss = next(second_phase(run, cfg, points, [centroids]))
    forget = next(twin.visit("forget", 8, cfg.augment, 1))
    retain = next(twin.visit("retain", 16, cfg.augment, 1))
    features = features_of(twin.model.train(), torch.cat([forget.images, retain.images]))
    ce = plain_ce(twin.model.fc(features[8:]), retain.labels, cfg.temperature, 0.1)
    distance = plain_distance(features[:8], centroids.means[centroids.targets[forget.positions]])
    assert loss.item() == pytest.approx(ce + 0.1 * lambda_forget * distance, rel=1e-4)


def test_every_step_of_a_second_epoch_has_the_same_forget_batch_and_another_retain_batch(
    trained_run, monkeypatch
) -> None:
    run, seen = trained_run(), []
    cfg = config_of("duck", epochs=1, second_epochs=2, second_batch_size=16)
    whole = run.count
    monkeypatch.setattr(
        run, "count", lambda batch, part: (seen.append((part, batch.positions.tolist())), whole(batch, part))
    )
    run.drive(duck.unlearn(run, cfg))
    seen = seen[-2 * 8 :]
    forget = [positions for part, positions in seen if part == "forget"]
    retain = [positions for part, positions in seen if part == "retain"]
    assert forget == [forget[0]] * 4 + [forget[4]] * 4
    assert forget[0] != forget[4]
    for epoch in (retain[:4], retain[4:]):
        assert sorted(sum(epoch, [])) == run.manifest.select("train", "retain").tolist()


def test_enough_forgotten_ends_the_first_phase_and_not_the_second(trained_run) -> None:
    run = trained_run()
    progress = run.drive(duck.unlearn(run, config_of("duck", epochs=5, stop_at_forget_acc=100.0, second_epochs=3)))
    assert progress.epochs == [1, 3]
    assert ["forget_acc" in row for row in progress.rows] == [True, False, False, False]


def test_duck_ec_with_only_the_final_point_trains_the_backbone_like_duck(trained_run) -> None:
    plain_one, deep = trained_run(name="same"), trained_run(name="same", folder="deep")
    phases = {"second_epochs": 1, "second_batch_size": 16}
    plain_one.drive(duck.unlearn(plain_one, config_of("duck", **phases)))
    final_alone = {"layer_weights": [0.0, 0.0, 0.0, 1.0], "modules": False, "layer_ce": False}
    deep.drive(duck_ec.unlearn(deep, config_of("duck_ec", **phases, **final_alone)))
    actual = weights_of(deep.model)
    for name, value in weights_of(plain_one.model).items():
        torch.testing.assert_close(actual[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(("modules", "widths"), [(True, [16, 16, 16, 16]), (False, [8, 8, 8, 16])])
def test_duck_ecs_centroids_and_targets_are_those_of_each_points_pooled_feature(
    trained_run, modules: bool, widths: list[int]
) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    centroids = retained_centroids(run, every_point(run, config_of("duck_ec", modules=modules)).network)
    assert [point.means.shape[1] for point in centroids] == widths
    retain = scanned(twin, "retain", lambda images: stage_features(twin, images, modules))
    forget = scanned(twin, "forget", lambda images: stage_features(twin, images, modules))
    for number, point in enumerate(centroids):
        means = plain_means(twin, {position: features[number] for position, features in retain.items()})
        torch.testing.assert_close(point.means, torch.stack(means), rtol=1e-4, atol=1e-5)
        expected = {position: plain_target(features[number][0], means) for position, features in forget.items()}
        assert {position: int(point.targets[position]) for position in expected} == expected


@pytest.mark.parametrize("layer_ce", [True, False])
def test_duck_ecs_first_loss_weighs_both_terms_at_each_point(trained_run, layer_ce: bool) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    cfg = config_of("duck_ec", layer_ce=layer_ce, layer_weights=[0.1, 0.3, 0.5, 2.0])
    torch.manual_seed(2)
    loss = next(duck_ec.unlearn(run, cfg))
    torch.manual_seed(2)
    network = every_point(twin, cfg).network
    centroids = retained_centroids(twin, network)
    twin.optimise(network, cfg)
    forget, retain = next(twin.pairs(cfg, cfg.retain_per_forget))
    z_f = stage_features(twin, forget.images, modules=True)
    z_r = stage_features(twin, retain.images, modules=True)
    classifiers = [*(network.heads.values() if layer_ce else [None] * 3), twin.model.fc]
    expected = 0.0
    for weight, h_f, h_r, classifier, point in zip(cfg.layer_weights, z_f, z_r, classifiers, centroids, strict=True):
        expected += weight * cfg.lambda_forget * plain_distance(h_f, point.means[point.targets[forget.positions]])
        if classifier is not None:
            ce = plain_ce(classifier(h_r), retain.labels, cfg.temperature, cfg.label_smoothing)
            expected += weight * cfg.lambda_retain * ce
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_wrong_number_of_weights_names_the_key(trained_run) -> None:
    run = trained_run(name="duck_ec")
    with pytest.raises(InputError, match=r"duck_ec\.layer_weights: 3 weights for 4 .*layer1, layer2, layer3, final"):
        next(duck_ec.unlearn(run, config_of("duck_ec", layer_weights=[0.1, 0.2, 1.0])))


@pytest.mark.parametrize("method", PROGRAMS)
def test_forgets_and_keeps(trained_run, method: str) -> None:
    run = trained_run()
    rows = run.drive(PROGRAMS[method](run, config_of(method, epochs=3, lr=0.02, retain_per_forget=3))).rows
    assert rows[-1]["validation_forget_acc"] == 0
    assert rows[-1]["validation_retain_acc"] > 60
