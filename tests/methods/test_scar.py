import math
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from tests.conftest import CLASSES, SIZE, config_of, weights_of
from unlearning.data.batches import in_order
from unlearning.errors import InputError
from unlearning.methods import scar
from unlearning.methods.families.points import final_point
from unlearning.methods.scar import Classes, keep_loss, precision, scatter, shrunk, tukey
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build

RETAINED = [0, 2, 3, 5]
FORGET = torch.tensor([1, 4])
COVARIANCES = ["per_class", "shared"]


@pytest.fixture
def lively_run(trained_run):
    """Return a function like `trained_run`'s, of models none of whose features is 0 for all images of a class."""

    def make(**options):
        run = trained_run(**options)
        run.model.layer4[-1].act2 = nn.Softplus(beta=5)
        return run

    return make


@pytest.fixture
def surrogates(tmp_path: Path) -> str:
    """Write colour images of several sizes into nested folders and return the folder."""
    random = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "other" / f"kind{number % 3}" / ("deep" if number % 2 else "") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (SIZE + number % 5, SIZE + number % 7, 3)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return str(tmp_path / "other")


def features_of(model, images):
    return model.forward_head(model.forward_features(images), pre_logits=True)


@torch.no_grad()
def scanned(run, part):
    """The penultimate features (N, d), float64, of single images in eval mode, and their positions."""
    run.model.eval()
    positions = run.manifest.select("train", part)
    images = run.whole_split.batches(in_order(positions, 1))
    return np.concatenate([features_of(run.model, batch.images).double().numpy() for batch in images]), positions


def unit(vector):
    return vector / math.sqrt(sum(value * value for value in vector))


def plain_shrunk(matrix, gamma_1, gamma_2):
    size = len(matrix)
    diagonal = [matrix[i, i] for i in range(size)]
    others = [matrix[i, j] for i in range(size) for j in range(size) if i != j]
    result = matrix.copy()
    for i in range(size):
        for j in range(size):
            if i == j:
                result[i, j] += gamma_1 * sum(diagonal) / size
            else:
                result[i, j] += gamma_2 * sum(others) / len(others)
    return result


def plain_correlation(samples, gamma_1, gamma_2, times):
    matrix = np.cov(samples, rowvar=False)
    for _ in range(times):
        matrix = plain_shrunk(matrix, gamma_1, gamma_2)
    deviation = np.sqrt(np.diag(matrix))
    return np.array([[matrix[i, j] / (a * b) for j, b in enumerate(deviation)] for i, a in enumerate(deviation)])


def plain_form(vector, matrix):
    pairs = [(i, j) for i in range(len(vector)) for j in range(len(vector))]
    return sum(vector[i] * matrix[i, j] * vector[j] for i, j in pairs)


def plain_classes(run, cfg, times):
    """Unit mean and inverse correlation of each retained class by numpy, from features one by one."""
    features, positions = scanned(run, "retain")
    labels = run.manifest.splits["train"].labels[positions]
    groups = [np.sqrt(features[labels == label].clip(1e-6)) for label in RETAINED]
    means = [group.mean(axis=0) for group in groups]
    if cfg.covariance == "shared":
        groups = [np.concatenate([group - mean for group, mean in zip(groups, means, strict=True)])] * len(groups)
    inverses = [np.linalg.pinv(plain_correlation(group, cfg.gamma_1, cfg.gamma_2, times)) for group in groups]
    return [(unit(mean), inverse) for mean, inverse in zip(means, inverses, strict=True)]


def plain_distance(feature, target):
    mean, inverse = target
    return plain_form(unit(np.sqrt(feature.clip(1e-6))) - mean, inverse)


def plain_targets(run, classes):
    features, positions = scanned(run, "forget")
    rows = [np.argmin([plain_distance(feature, target) for target in classes]) for feature in features]
    return dict(zip(positions.tolist(), rows, strict=True))


def plain_softmax(row):
    exponentials = [math.exp(value) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def plain_keep(student, original, temperature):
    """KL(original / T || student) of the images given to no forget class, forget classes at their smallest logit."""
    pairs = zip(student.tolist(), original.tolist(), strict=True)
    kept = [(own, given) for own, given in pairs if np.argmax(given) not in FORGET]
    smallest = min(value for _, given in kept for value in given)
    divergences = []
    for own, given in kept:
        given = [smallest if label in FORGET else value for label, value in enumerate(given)]
        p, q = plain_softmax([value / temperature for value in given]), plain_softmax(own)
        divergences.append(sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True)))
    return sum(divergences) / len(divergences)


def some_logits(seed: int, count: int = 9) -> torch.Tensor:
    return 3 * torch.randn(count, CLASSES, generator=torch.Generator().manual_seed(seed))


def samples(count: int, dimensions: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(dimensions, dimensions, generator=random)
    return torch.rand(count, dimensions, generator=random) @ mixing


def test_tukey_is_the_square_root() -> None:
    features = torch.tensor([[0.25, 1.0, 9.0]])
    torch.testing.assert_close(tukey(features), torch.tensor([[0.5, 1.0, 3.0]]))


def test_tukeys_gradient_is_that_of_the_root_and_finite_at_0() -> None:
    features = torch.tensor([0.0, 0.25, 4.0], requires_grad=True)
    tukey(features).sum().backward()
    torch.testing.assert_close(features.grad, torch.tensor([0.0, 1.0, 0.25]))


def test_shrinking_equals_the_formula() -> None:
    covariance = np.cov(samples(20, 5).double().numpy(), rowvar=False)
    expected = plain_shrunk(covariance, 2.0, 0.5)
    np.testing.assert_allclose(shrunk(torch.from_numpy(covariance), 2.0, 0.5).numpy(), expected, rtol=1e-10)


def test_shrinking_a_diagonal_matrix_leaves_it_diagonal() -> None:
    matrix = torch.diag(torch.tensor([1.0, 3.0]))
    assert torch.equal(shrunk(matrix, 2.0, 5.0), torch.diag(torch.tensor([5.0, 7.0])))


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("count", "gammas"), [(30, (3.0, 3.0)), (30, (0.0, 0.0)), (4, (3.0, 3.0)), (4, (1.0, 0.5))])
def test_precision_equals_numpys_pseudo_inverse(times: int, count: int, gammas: tuple[float, float]) -> None:
    features = samples(count, 6)
    expected = np.linalg.pinv(plain_correlation(features.double().numpy(), *gammas, times))
    np.testing.assert_allclose(
        precision(torch.cov(features.double().T), *gammas, times).numpy(), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_precision_of_fewer_samples_than_dimensions_is_finite_and_symmetric(gamma: float) -> None:
    matrix = precision(torch.cov(samples(4, 12).double().T), gamma, gamma, 1)
    assert matrix.isfinite().all()
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-4, atol=1e-5)
    assert matrix.abs().max() > 0.01


def test_a_singular_correlation_matrix_is_inverted_on_its_range() -> None:
    features = samples(4, 12)
    correlation = plain_correlation(features.double().numpy(), 0.0, 0.0, 1)
    inverse = precision(torch.cov(features.double().T), 0.0, 0.0, 1).double().numpy()
    assert np.linalg.matrix_rank(correlation) == 3
    np.testing.assert_allclose(correlation @ inverse @ correlation, correlation, atol=1e-5)


@pytest.mark.parametrize("times", [1, 2])
def test_distances_stay_above_0_where_features_are_dead(times: int) -> None:
    alive = samples(30, 2).repeat(1, 2) * torch.tensor([1.0, 1.0, -1.0, -1.0])
    features = torch.cat([alive, torch.full((30, 4), 0.001)], dim=1)
    assert torch.linalg.eigvalsh(precision(torch.cov(features.double().T), 3.0, 3.0, times).double()).min() >= -1e-6


def test_more_shrinkage_off_the_diagonal_than_on_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma_2\n.*this is more than gamma_1"):
        config_of("scar", gamma_1=3.0, gamma_2=4.0)


@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_precision_survives_a_dead_feature(gamma: float) -> None:
    features = samples(30, 6)
    features[:, 2] = tukey(torch.zeros(30))
    matrix = precision(torch.cov(features.double().T), gamma, gamma, 2)
    assert matrix.isfinite().all()
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("matrices", [3, 1])
def test_distance_is_the_quadratic_form_of_each_samples_own_target(matrices: int) -> None:
    random = torch.Generator().manual_seed(1)
    features = torch.rand(6, 5, generator=random)
    means = nn.functional.normalize(torch.rand(3, 5, generator=random))
    precisions = torch.randn(matrices, 5, 5, generator=random)
    targets = [2, 0, 2, 2, 0, 2]
    expected = [
        plain_distance(feature, (means[target].double().numpy(), precisions[target % matrices].double().numpy()))
        for feature, target in zip(features.double().numpy(), targets, strict=True)
    ]
    actual = Classes(means, precisions).distance(features, torch.tensor(targets))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_distance_pulls_each_feature_towards_its_own_target() -> None:
    features = torch.rand(4, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    means, targets = torch.eye(5)[:3], torch.tensor([2, 0, 2, 1])
    Classes(means, torch.eye(5).repeat(3, 1, 1)).distance(features, targets).sum().backward()
    for gradient, target in zip(features.grad, targets, strict=True):
        assert gradient.argmin() == target
        assert gradient[target] < 0


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize(("variant", "times"), [("official", 2), ("ec_paper", 1)])
def test_the_retained_classes_are_measured_as_by_numpy(lively_run, covariance: str, variant: str, times: int) -> None:
    run, twin = lively_run(), lively_run(folder="twin")
    cfg = config_of("scar", covariance=covariance, variant=variant)
    classes = scar.retained_classes(run, cfg, final_point(run).network)
    assert len(classes.means) == len(RETAINED)
    assert len(classes.precisions) == (1 if covariance == "shared" else len(RETAINED))
    expected = plain_classes(twin, cfg, times)
    for row, (mean, inverse) in enumerate(expected):
        np.testing.assert_allclose(classes.means[row], mean, atol=1e-5)
        actual = classes.precisions[row % len(classes.precisions)]
        np.testing.assert_allclose(actual, inverse, atol=1e-3 * np.abs(inverse).max())


def test_the_features_of_one_class_at_a_time_are_in_memory(lively_run, monkeypatch) -> None:
    run, asked = lively_run(), []
    monkeypatch.setattr(scar, "scatter", lambda features: asked.append(len(features)) or scatter(features))
    scar.retained_classes(run, config_of("scar", covariance="shared"), final_point(run).network)
    assert asked == [16] * len(RETAINED)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", None), ("densenet121", None), ("vgg11_bn", None), ("mobilenetv2_100", None),
        ("swin_tiny_patch4_window7_224", "LayerNorm"), ("vit_tiny_patch16_224", "LayerNorm"),
        ("convnext_tiny", "LayerNorm2d"), ("efficientnet_b0", "SiLU"), ("nfnet_f0", "GELU"),
    ],
)  # fmt: skip
def test_networks_whose_features_can_be_negative_are_refused_before_anything_runs(name: str, last: str | None) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    refused = scar.refusals(model, config_of("scar", covariance="shared"))
    assert len(refused) == (last is not None)
    assert all("can be negative" in line and f"({last} comes last)" in line for line in refused)
    assert model.training


def test_more_covariances_than_fit_are_refused_with_the_way_out(make_run, monkeypatch) -> None:
    monkeypatch.setattr(scar, "MOST_GB", CLASSES * 16**2 * 4 / 1e9 / 2)
    run = make_run(name="scar")
    with pytest.raises(InputError, match=r"^scar.covariance: 6 covariances of 16 x 16 are .* set it to shared"):
        next(scar.unlearn(run, config_of("scar", covariance="per_class")))
    next(scar.unlearn(make_run(name="scar", folder="other"), config_of("scar", covariance="shared")))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_each_forget_image_has_the_nearest_retained_class_as_target(lively_run, covariance: str) -> None:
    run, twin = lively_run(), lively_run(folder="twin")
    cfg = config_of("scar", covariance=covariance)
    network = final_point(run).network
    targets = scar.forget_targets(run, network, scar.retained_classes(run, cfg, network))
    expected = plain_targets(twin, plain_classes(twin, cfg, 2))
    assert {position: int(targets[position]) for position in expected} == expected
    assert len(set(expected.values())) > 1


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_keep_loss_equals_the_formula(make_run, temperature: float) -> None:
    student, original = some_logits(0), some_logits(1)
    given = set(original.argmax(dim=1).tolist())
    assert given >= {1, 4}
    assert given - {1, 4}
    actual = keep_loss(make_run(), student, original, FORGET, temperature).item()
    assert actual == pytest.approx(plain_keep(student, original, temperature), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_an_image_that_is_left_out_does_not_lower_the_floor_either(make_run, temperature: float) -> None:
    student, original = some_logits(0, 3), torch.full((3, CLASSES), 1.0)
    original[0, 4], original[0, 0] = 5.0, -40.0  # given to the forget class 4: left out
    original[1, 0], original[2, 2] = 3.0, 4.0
    alone = keep_loss(make_run(), student[1:], original[1:], FORGET, temperature)
    loss = keep_loss(make_run(folder="twin"), student, original, FORGET, temperature)
    assert loss.item() == pytest.approx(alone.item(), rel=1e-6)
    assert loss.item() == pytest.approx(plain_keep(student, original, temperature), rel=1e-5)


def test_images_that_the_original_gives_to_a_forget_class_teach_nothing(make_run) -> None:
    student, original = some_logits(0).requires_grad_(), some_logits(1)
    keep_loss(make_run(), student, original, FORGET, 1.0).backward()
    dropped = torch.isin(original.argmax(dim=1), FORGET)
    assert torch.equal(student.grad.abs().sum(dim=1) == 0, dropped)


def test_keep_loss_is_0_with_zero_gradient_when_no_image_is_left(make_run) -> None:
    student, original = some_logits(0, 4).requires_grad_(), some_logits(1, 4)
    original[:, 4] = 20
    loss = keep_loss(make_run(), student, original, FORGET, 1.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_keep_loss_is_0_where_the_student_gives_the_target(make_run) -> None:
    original = some_logits(1)
    student = original.clone()
    student[:, FORGET] = original[~torch.isin(original.argmax(dim=1), FORGET)].min()
    assert keep_loss(make_run(), student, original, FORGET, 1.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"covariance": "shared"},
        {"variant": "ec_paper", "surrogate": "nowhere"},
        {"lambda_forget": 4.0, "lambda_keep": 0.0},
        {"lambda_forget": 0.0, "lambda_keep": 2.0, "temperature": 3.0},
    ],
)
def test_the_first_loss_is_distance_and_divergence_of_separate_passes(lively_run, changes: dict) -> None:
    run, twin = lively_run(), lively_run(folder="twin")
    cfg = config_of("scar", **changes)
    loss = next(scar.unlearn(run, cfg))
    classes = plain_classes(twin, cfg, 1 if cfg.variant == "ec_paper" else 2)
    targets = plain_targets(twin, classes)
    teacher = lively_run(folder="teacher").model.eval()
    twin.optimise(twin.model, cfg)
    forget, retain = next(twin.pairs(cfg, cfg.keep_per_forget))
    with torch.no_grad():
        features, student = features_of(twin.model, forget.images).double().numpy(), twin.model(retain.images)
        original = teacher(retain.images)
    chosen = [classes[targets[position]] for position in forget.positions.tolist()]
    distance = sum(plain_distance(*pair) for pair in zip(features, chosen, strict=True)) / len(features)
    expected = cfg.lambda_forget * distance + cfg.lambda_keep * plain_keep(student, original, cfg.temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_targets_and_teacher_stay_those_of_the_original(lively_run, make_run) -> None:
    run, twin, other = lively_run(), lively_run(folder="twin"), lively_run(folder="other").model
    other.load_state_dict(make_run(folder="another", seed=5).model.state_dict())
    cfg = config_of("scar", lambda_forget=0.5, lambda_keep=2.0, keep_per_forget=2)
    losses = scar.unlearn(run, cfg)
    next(losses)
    run.model.load_state_dict(other.state_dict())
    loss = next(losses)
    network, teacher = final_point(twin).network, twin.teacher()
    classes = scar.retained_classes(twin, cfg, network)
    targets = scar.forget_targets(twin, network, classes)
    forget = next(twin.visit("forget", cfg.batch_size, cfg.augment, 1))
    retain = list(twin.stream("retain", cfg.batch_size, cfg.augment, 0, 2))[1]
    other.train()
    distance = classes.distance(features_of(other, forget.images), targets[forget.positions]).mean()
    keep = keep_loss(twin, other(retain.images), teacher(retain.images), FORGET, cfg.temperature)
    torch.testing.assert_close(loss, 0.5 * distance + 2.0 * keep, rtol=1e-3, atol=1e-4)


def parts_of(run, cfg):
    """Drive SCAR and return how many images of which part went through its optimiser steps."""
    seen: dict[str, int] = {}
    whole = run.count

    def count(batch, part):
        seen[part] = seen.get(part, 0) + len(batch.labels)
        assert batch.images.shape[1:] == (1, SIZE, SIZE)
        whole(batch, part)

    run.count = count
    run.drive(scar.unlearn(run, cfg))
    return seen


def test_distils_on_surrogate_images_alone_where_a_folder_is_given(trained_run, surrogates: str) -> None:
    run = trained_run()
    before = weights_of(run.model)
    steps = 2 * 4 * 3
    seen = parts_of(run, config_of("scar", surrogate=surrogates, keep_per_forget=3, lr=0.001))
    assert seen == {"forget": steps * 8, "all": steps * 8}
    after = weights_of(run.model)
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(after["conv1.weight"], before["conv1.weight"])


def test_the_keep_term_is_measured_on_the_surrogate_images(trained_run, surrogates: str) -> None:
    run, twin = trained_run(), trained_run(folder="twin")
    cfg = config_of("scar", surrogate=surrogates, lambda_forget=0.0)
    loss = next(scar.unlearn(run, cfg))
    teacher, schedule = trained_run(folder="teacher").model.eval(), scar.surrogate_schedule(twin, cfg)
    images = next(schedule.stream("all", cfg.batch_size, cfg.augment, 0, 1)).images
    with torch.no_grad():
        expected = cfg.lambda_keep * plain_keep(twin.model.train()(images), teacher(images), cfg.temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("changes", [{}, {"variant": "ec_paper", "surrogate": "nowhere"}])
def test_distils_on_retain_images_otherwise(trained_run, changes: dict) -> None:
    steps = 4 * 3
    seen = parts_of(trained_run(), config_of("scar", epochs=1, keep_per_forget=3, **changes))
    assert seen == {"forget": steps * 8, "retain": steps * 8}


def test_a_missing_surrogate_folder_names_the_key(trained_run) -> None:
    run = trained_run(name="scar")
    with pytest.raises(InputError, match=r"scar\.surrogate: there is no folder nowhere"):
        next(scar.unlearn(run, config_of("scar", surrogate="nowhere")))


def test_a_backbone_with_negative_features_is_refused_with_the_reason(make_run) -> None:
    run = make_run(name="scar")
    kwargs = {"img_size": SIZE, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}
    run.model = build(Architecture("vit_tiny_patch16_224", kwargs, None, CLASSES, 1, SIZE))
    with pytest.raises(
        InputError, match="scar: the penultimate features of VisionTransformer can be negative.* square root; .*ResNet"
    ):
        next(scar.unlearn(run, config_of("scar")))


def test_a_class_of_one_image_needs_a_shared_covariance(world, make_run) -> None:
    labels = world.splits["train"].labels
    labels[np.flatnonzero(labels == 3)[1:]] = 0
    run = make_run(name="scar")
    with pytest.raises(InputError, match=r"scar\.covariance: a class of one image .* set it to shared"):
        next(scar.unlearn(run, config_of("scar")))
    assert next(scar.unlearn(run, config_of("scar", covariance="shared"))).isfinite()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_forgets_and_keeps(trained_run, covariance: str) -> None:
    run = trained_run()
    rows = run.drive(scar.unlearn(run, config_of("scar", covariance=covariance, epochs=4, lr=0.02))).rows
    assert rows[-1]["validation_forget_acc"] == 0
    assert rows[-1]["validation_retain_acc"] > 60
