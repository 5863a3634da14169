from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.layers import Conv2dSame, StdConv2d
from torch import Tensor, nn

from tests.conftest import CLASSES, RECIPE, SIZE, config_of, weights_of
from tests.engine.test_run import plain
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.methods import pl, unsc
from unlearning.methods.unsc import activation_grams, basis, input_columns, outside
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.params import Recipe
from unlearning.seeds import generator

TINY_VIT = {"img_size": SIZE, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}


def random_matrix(rows: int, columns: int, seed: int = 0) -> Tensor:
    """Columns whose directions differ much in energy."""
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.7 ** torch.arange(rows)[:, None] * values


def fewest(matrix: Tensor, energy: float) -> np.ndarray:
    """The fewest leading left singular vectors that hold the energy, (d, k)."""
    vectors, values, _ = np.linalg.svd(matrix.numpy())
    share = np.cumsum(values**2) / np.sum(values**2)
    return vectors[:, : int(np.argmax(share >= energy * (1 - 1e-14))) + 1]


def grouped_network() -> nn.Module:
    """Convolutions with groups and depthwise, of few enough positions that a few images do not span their inputs."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=4),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )


def tiny_vit() -> nn.Module:
    return build(Architecture("vit_tiny_patch16_224", TINY_VIT, None, CLASSES, 1, SIZE))


NETWORKS: dict[str, tuple[Callable[[], nn.Module] | None, set[str]]] = {
    "resnet": (None, {"layer3.0.conv1", "layer4.0.conv1", "fc"}),
    "grouped": (grouped_network, {"2", "5", "8"}),
    "vit": (tiny_vit, {"blocks.0.attn.qkv", "blocks.0.mlp.fc2", "head"}),
}


def make(make_run, network: Callable[[], nn.Module] | None = None, **options: object) -> Run:
    run: Run = make_run(name="unsc", **options)
    if network is not None:
        run.model = network()
    return run


def trained(make_run, network: Callable[[], nn.Module] | None = None) -> Run:
    run = make(make_run, network, folder="original")
    run.drive(plain(run, Recipe(**{**RECIPE, "epochs": 12, "optimizer": "adam", "lr": 0.01})))
    assert run.forget_acc() > 60
    return run


def outputs(run: Run, part: str) -> Tensor:
    with torch.no_grad():
        return torch.cat([run.model.eval()(batch.images) for batch in run.scan(part)])


def chosen_for_the_basis(run: Run, samples: int) -> Tensor:
    """Which of the retain images, in order."""
    count = len(run.manifest.select("train", "retain"))
    return torch.randperm(count, generator=generator(run.seed, run.name, "basis"))[:samples]


def moved(run: Run, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}


def projection_on(matrix: Tensor, energy: float) -> Tensor:
    (spanning,) = basis((matrix @ matrix.T)[None], energy)
    return spanning @ spanning.T


@pytest.mark.parametrize(("rows", "columns"), [(12, 40), (12, 5), (6, 6), (1, 3)])
@pytest.mark.parametrize("energy", [0.3, 0.9, 0.99, 0.9999, 1.0])
def test_basis_is_the_projection_on_the_fewest_vectors_that_hold_the_energy(
    rows: int, columns: int, energy: float
) -> None:
    matrix = random_matrix(rows, columns)
    projection = projection_on(matrix, energy)
    expected = fewest(matrix, energy)
    assert projection.trace().item() == pytest.approx(expected.shape[1])
    torch.testing.assert_close(projection, torch.from_numpy(expected @ expected.T), rtol=0, atol=1e-7)
    torch.testing.assert_close(projection, projection.T)
    torch.testing.assert_close(projection @ projection, projection)
    assert (projection @ matrix).square().sum() >= energy * (1 - 1e-12) * matrix.square().sum()


def test_each_group_has_a_basis_of_its_own() -> None:
    matrices = [random_matrix(8, 30), random_matrix(8, 2, seed=1).flip(0)]
    together = basis(torch.stack([matrix @ matrix.T for matrix in matrices]), 0.9)
    for spanning, matrix in zip(together, matrices, strict=True):
        torch.testing.assert_close(spanning @ spanning.T, projection_on(matrix, 0.9))


def test_inputs_that_are_always_zero_are_in_no_basis() -> None:
    matrix = random_matrix(6, 30)
    wider = torch.zeros(10, 30, dtype=matrix.dtype)
    wider[[0, 3, 4, 6, 8, 9]] = matrix
    expected = torch.zeros(10, 10, dtype=matrix.dtype)
    expected[torch.tensor([0, 3, 4, 6, 8, 9])[:, None], [0, 3, 4, 6, 8, 9]] = projection_on(matrix, 0.9)
    torch.testing.assert_close(projection_on(wider, 0.9), expected)
    assert basis(torch.zeros(2, 4, 4, dtype=matrix.dtype), 0.9).shape == (2, 4, 0)
    gradient = torch.randn(6, 4)
    assert torch.equal(outside(gradient, torch.zeros(2, 4, 0, dtype=torch.float64)), gradient)


def test_nearly_all_energy_of_few_images_leaves_a_null_space() -> None:
    matrix = random_matrix(12, 5)
    projection = projection_on(matrix, 1.0)
    assert projection.trace().item() == pytest.approx(5)
    torch.testing.assert_close(projection @ matrix, matrix, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": (2, 1), "padding": (0, 2)},
        {"kernel_size": (3, 2), "padding": (1, 0)},
        {"kernel_size": 3, "dilation": 2, "padding": 2},
        {"kernel_size": 3, "dilation": (1, 2), "padding": "same"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": (2, 1), "padding_mode": "circular"},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": 1, "stride": 2, "groups": 4},
    ],
    ids=str,
)
def test_weight_times_columns_is_the_output_of_a_convolution(options: dict) -> None:
    layer = nn.Conv2d(4, 8, **options, bias=False).double()
    images = torch.randn(3, 4, 9, 7, dtype=torch.float64)
    weight = layer.weight.reshape(layer.groups, 8 // layer.groups, -1)
    expected = layer(images).transpose(0, 1).reshape(layer.groups, 8 // layer.groups, -1)
    torch.testing.assert_close(weight @ input_columns(layer, images), expected)


def test_weight_times_columns_is_the_output_of_a_convolution_that_pads_by_the_image() -> None:
    layer = Conv2dSame(4, 8, 3, stride=2, bias=False).double()
    images = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    expected = layer(images).transpose(0, 1).reshape(1, 8, -1)
    torch.testing.assert_close(layer.weight.reshape(1, 8, -1) @ input_columns(layer, images), expected)


def test_a_layer_whose_output_is_not_weight_times_input_is_refused(make_run) -> None:
    run = make(make_run)
    run.model.layer2[0].conv1 = StdConv2d(8, 8, 3, padding=1)
    with pytest.raises(InputError, match=r"unsc: layer2\.0\.conv1 is a StdConv2d"):
        next(unsc.unlearn(run, config_of("unsc")))


@pytest.mark.parametrize("leading", [(5,), (5, 3), (5, 2, 3)])
def test_weight_times_columns_is_the_output_of_a_linear_layer(leading: tuple[int, ...]) -> None:
    layer = nn.Linear(6, 4, bias=False).double()
    inputs = torch.randn(*leading, 6, dtype=torch.float64)
    expected = layer(inputs).reshape(-1, 4).T[None]
    torch.testing.assert_close(layer.weight[None] @ input_columns(layer, inputs), expected)


@pytest.mark.parametrize(("shape", "groups"), [((4, 6), 1), ((4, 3, 2, 2), 1), ((6, 3, 2, 2), 2), ((8, 1, 2, 2), 8)])
def test_outside_removes_exactly_the_projected_part(shape: tuple[int, ...], groups: int) -> None:
    gradient = torch.randn(shape)
    width = gradient[0].numel()
    matrices = torch.stack([random_matrix(width, 40, seed) for seed in range(groups)])
    spanning = basis(matrices @ matrices.mT, 0.8)
    result = outside(gradient, spanning)
    assert (result.shape, result.dtype) == (gradient.shape, gradient.dtype)
    for group, p in enumerate(spanning @ spanning.mT):
        rows = slice(group * shape[0] // groups, (group + 1) * shape[0] // groups)
        own, kept = gradient[rows].reshape(-1, width).double(), result[rows].reshape(-1, width).double()
        torch.testing.assert_close(kept @ p, torch.zeros_like(kept), rtol=0, atol=1e-5)
        torch.testing.assert_close((own - kept) @ p, own - kept, rtol=0, atol=1e-5)
        assert kept.norm() > 0.01


def test_grams_are_of_the_retain_images_as_the_model_sees_them_when_it_predicts(make_run) -> None:
    run = make(make_run)
    run.model.train()
    before = weights_of(run.model)
    grams = activation_grams(run, samples=1000)
    assert run.model.training
    assert moved(run, before) == set()
    assert set(grams) == {name for name, layer in run.model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    run.model.eval()
    images = torch.cat([batch.images for batch in run.scan("retain")])
    with torch.no_grad():
        features = run.model.forward_head(run.model.forward_features(images), pre_logits=True).double()
    torch.testing.assert_close(grams["fc"], (features.T @ features)[None], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_of_the_images_that_span_the_basis_stay_while_others_move(make_run, name: str) -> None:
    network, must_move = NETWORKS[name]
    weights = weights_of(trained(make_run, network).model)
    run = make(make_run, network)
    run.model.load_state_dict(weights)
    before = {part: outputs(run, part) for part in ("forget", "retain")}
    config = config_of("unsc", basis_samples=2, energy=1.0, epochs=5, lr=0.1)
    run.drive(unsc.unlearn(run, config))
    change = {part: (outputs(run, part) - values).abs() for part, values in before.items()}
    spanning = torch.zeros(len(change["retain"]), dtype=torch.bool)
    spanning[chosen_for_the_basis(run, 2)] = True
    assert change["forget"].mean() > 0.1
    assert change["retain"][~spanning].amax(dim=1).min() > 0
    assert change["retain"][spanning].max() < 1e-3 * change["forget"].mean()
    assert {f"{layer}.weight" for layer in must_move} <= moved(run, weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_only_weights_of_convolutions_and_linear_layers_move(make_run, name: str) -> None:
    run = make(make_run, NETWORKS[name][0])
    allowed = {
        f"{layer}.weight" for layer, module in run.model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
    }
    before = weights_of(run.model)
    run.drive(unsc.unlearn(run, config_of("unsc", energy=0.99, epochs=3)))
    assert set() < moved(run, before) <= allowed


def test_more_energy_leaves_less_room(make_run) -> None:
    changes = []
    for energy in (0.5, 0.9, 0.999):
        run = make(make_run, folder=str(energy))
        before = outputs(run, "retain")
        run.drive(unsc.unlearn(run, config_of("unsc", energy=energy, epochs=1, lr=0.01, momentum=0.0)))
        changes.append((outputs(run, "retain") - before).norm().item())
    assert changes == sorted(changes, reverse=True)


@pytest.mark.parametrize(
    ("key", "value"), [("weight_decay", 0.0005), ("optimizer", "adam"), ("optimizer", "adamw")], ids=str
)
def test_refuses_what_would_leave_the_null_space(make_run, key: str, value: object) -> None:
    run = make(make_run)
    with pytest.raises(InputError, match=rf"unsc\.{key}"):
        next(unsc.unlearn(run, config_of("unsc", **{key: value})))


def test_forgets_and_keeps_more_than_pseudo_labels_alone(make_run) -> None:
    original = trained(make_run)
    before = outputs(original, "retain")
    change = {}
    for method in (pl, unsc):
        name = method.__name__.rpartition(".")[2]
        run = make_run(name=name, folder=name)
        run.model.load_state_dict(original.model.state_dict())
        rows = run.drive(method.unlearn(run, config_of(name, epochs=10, lr=0.05))).rows
        assert run.forget_acc() == 0
        assert rows[-1]["validation_forget_acc"] == 0
        change[name] = (outputs(run, "retain") - before).norm()
    assert rows[-1]["validation_retain_acc"] > 60
    assert change["unsc"] < 0.5 * change["pl"]
