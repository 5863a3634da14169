import copy
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.architectures import Backbone
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build, classifier_of
from unlearning.models.ec_modules import ec_modules, point_key
from unlearning.models.supervision import FINAL, SupervisedNetwork, Supervision, blank_image, forward_pair
from unlearning.models.taps import tapped


def supervised(backbone: Backbone, heads: bool = True) -> SupervisedNetwork:
    """Return a trainable copy with all that the full method attaches."""
    torch.manual_seed(1)
    model = copy.deepcopy(backbone.model)
    return SupervisedNetwork(model, backbone.case.stages[:-1], ec_modules(model), heads)


def loss_of(points: Iterable[Supervision]) -> Tensor:
    """Return a loss in which every coordinate of every embedding and logit matters."""
    generator = torch.Generator().manual_seed(0)
    outputs = [output for point in points for output in (point.embedding, point.logits) if output is not None]
    return sum(((output - torch.randn(output.shape, generator=generator)) ** 2).mean() for output in outputs)


def learns(module: nn.Module) -> bool:
    return any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_supervision_points_are_the_earlier_stages_and_the_end(backbone: Backbone) -> None:
    network = supervised(backbone).eval()
    assert network.names == [*backbone.case.stages[:-1], FINAL]
    with torch.no_grad():
        assert len(network(backbone.images)) == 4


def test_embeddings_are_unit_vectors_as_wide_as_the_last_stage(backbone: Backbone) -> None:
    with torch.no_grad():
        *early, final = supervised(backbone).eval()(backbone.images)
    for point in [*early, final]:
        torch.testing.assert_close(point.embedding.norm(dim=1), torch.ones(len(backbone.images)))
    assert [point.embedding.shape[1] for point in early] == [backbone.case.channels[-1]] * 3
    assert final.embedding.shape[1] == classifier_of(backbone.model).in_features


def test_early_embedding_is_the_pooled_output_of_its_module_and_its_head_reads_that(backbone: Backbone) -> None:
    network = supervised(backbone).eval()
    with torch.no_grad(), tapped(backbone.model, backbone.case.stages) as features:
        backbone.model(backbone.images)
        points = network(backbone.images)
    for stage, point in zip(backbone.case.stages[:-1], points, strict=False):
        pooled = network.attached[point_key(stage)](features[stage]).flatten(2).mean(dim=2)
        torch.testing.assert_close(point.embedding, F.normalize(pooled, dim=1))
        torch.testing.assert_close(point.logits, network.heads[point_key(stage)](pooled))


def test_final_point_is_the_classifiers_own_input_and_output(backbone: Backbone) -> None:
    with torch.no_grad():
        final = supervised(backbone).eval()(backbone.images)[-1]
        logits = backbone.model(backbone.images)
        features = backbone.model.forward_features(backbone.images)
        feature = backbone.model.forward_head(features, pre_logits=True)
    assert torch.equal(final.logits, logits)
    torch.testing.assert_close(final.embedding, F.normalize(feature, dim=1))


def test_loss_over_all_points_reaches_every_stage_module_and_head(backbone: Backbone) -> None:
    network = supervised(backbone).train()
    loss_of(network(backbone.images)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    for stage in backbone.case.stages:
        assert learns(network.model.get_submodule(stage)), stage
    for attached in (network.attached, network.heads):
        for key, module in attached.items():
            assert learns(module), key
    assert learns(classifier_of(network.model))


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_each_point_alone_reaches_its_own_depth_and_nothing_later(backbone: Backbone, position: int) -> None:
    network = supervised(backbone).train()
    loss_of([network(backbone.images)[position]]).backward()
    stages = [learns(network.model.get_submodule(stage)) for stage in backbone.case.stages]
    assert stages == [number <= position for number in range(4)]
    for attached in (network.attached, network.heads):
        assert [learns(module) for module in attached.values()] == [number == position for number in range(3)]
    assert learns(classifier_of(network.model)) == (position == 3)


def test_without_modules_a_point_pools_the_raw_feature(backbone: Backbone) -> None:
    stages = backbone.case.stages[:-1]
    network = SupervisedNetwork(backbone.model, stages)
    with torch.no_grad(), tapped(backbone.model, stages) as features:
        *early, _ = network(backbone.images)
    for stage, channels, point in zip(stages, backbone.case.channels, early, strict=False):
        assert point.embedding.shape[1] == channels
        torch.testing.assert_close(point.embedding, F.normalize(features[stage].flatten(2).mean(dim=2), dim=1))


def test_heads_only_if_asked(small: nn.Module, images: Tensor) -> None:
    points = ["layer1", "layer2"]
    *early, final = SupervisedNetwork(small, points, heads=False)(images)
    assert [point.logits for point in early] == [None, None]
    assert final.logits.shape == (5, 5)
    with_heads = SupervisedNetwork(small, points, heads=True)
    assert [head.in_features for head in with_heads.heads.values()] == [16, 32]
    assert [point.logits.shape for point in with_heads(images)] == [(5, 5)] * 3


def test_extra_points_are_pooled_in_depth_order() -> None:
    torch.manual_seed(0)
    model = build(Architecture("resnet50", {"layers": [1, 1, 1, 3]}, None, 5, 3, 64))
    points = ["layer1", "layer2", "layer3", "layer4.1", "layer4.0"]
    network = SupervisedNetwork(model, points, ec_modules(model), heads=True).eval()
    assert network.names == ["layer1", "layer2", "layer3", "layer4.0", "layer4.1", FINAL]
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad(), tapped(model, points) as features:
        supervision = network(images)
    raw = features["layer4.1"].mean(dim=(2, 3))
    torch.testing.assert_close(supervision[4].embedding, F.normalize(raw, dim=1))
    torch.testing.assert_close(supervision[4].logits, network.heads["layer4/1"](raw))
    assert [head.in_features for head in network.heads.values()] == [2048] * 5


def test_blocks_come_before_the_stage_that_holds_them() -> None:
    model = build(Architecture("resnet18", {"layers": [2, 1, 1, 1]}, None, 5, 3, 64))
    network = SupervisedNetwork(model, ["layer1", "layer2", "layer3", "layer1.0"])
    assert network.points == ["layer1.0", "layer1", "layer2", "layer3"]


def test_measuring_the_heads_leaves_modes_and_batch_statistics_alone(small: nn.Module) -> None:
    small.train()
    small.layer2.eval()
    modes = {name: module.training for name, module in small.named_modules()}
    before = copy.deepcopy(small.state_dict())
    SupervisedNetwork(small, ["layer1", "layer2"], ec_modules(small), heads=True)
    assert {name: module.training for name, module in small.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


def test_one_forward_pass_gives_all_points(small: nn.Module, images: Tensor) -> None:
    calls = []
    small.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    SupervisedNetwork(small, ["layer1", "layer2", "layer3"])(images)
    assert calls == [5]


def full_network(model: nn.Module) -> SupervisedNetwork:
    torch.manual_seed(1)
    return SupervisedNetwork(model, ["layer1", "layer2", "layer3"], ec_modules(model), heads=True)


def test_joint_and_separate_forward_agree_in_eval_mode(small: nn.Module, images: Tensor) -> None:
    network = full_network(small).eval()
    with torch.no_grad():
        joint = forward_pair(network, images[:2], images[2:], joint=True)
        separate = forward_pair(network, images[:2], images[2:], joint=False)
    for one, other, count in zip(joint, separate, (2, 3), strict=True):
        for a, b in zip(one, other, strict=True):
            assert len(a.embedding) == len(b.embedding) == count
            torch.testing.assert_close(a.embedding, b.embedding)
            torch.testing.assert_close(a.logits, b.logits)


@pytest.mark.parametrize(("joint", "updates"), [(True, 1), (False, 2)])
def test_batch_statistics_are_shared_in_a_joint_forward(
    small: nn.Module, images: Tensor, joint: bool, updates: int
) -> None:
    network = full_network(small).train()
    batches = [images] if joint else [images[:2], images[2:]]
    expected = small.bn1.running_mean.clone()
    with torch.no_grad():
        for batch in batches:
            expected = 0.9 * expected + 0.1 * small.conv1(batch).mean(dim=(0, 2, 3))
        forward_pair(network, images[:2], images[2:], joint)
    torch.testing.assert_close(small.bn1.running_mean, expected)
    counters = [value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")]
    assert {int(counter) for counter in counters} == {updates}


def test_rows_select_samples_of_embedding_and_logits() -> None:
    point = Supervision(torch.arange(6.0).view(3, 2), None)
    assert point.rows(slice(1, None)).feature.tolist() == [[2, 3], [4, 5]]
    assert point.rows(slice(1, None)).logits is None
    assert Supervision(point.embedding, torch.arange(3)).rows(slice(2)).logits.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "kwargs", "channels", "shape"),
    [
        ("resnet18", {"layers": [1, 1, 1, 1]}, 1, (1, 1, 32, 32)),
        ("vit_tiny_patch16_224", {"img_size": 48, "depth": 2}, 3, (1, 3, 48, 48)),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": [32, 64], "depths": [1, 1], "num_heads": [3, 6]},
            4,
            (1, 4, 32, 64),
        ),
    ],
)  # fmt: skip
def test_blank_image_has_the_size_that_the_model_accepts(
    name: str, kwargs: dict, channels: int, shape: tuple[int, ...]
) -> None:
    model = build(Architecture(name, kwargs, None, 2, channels, 64)).eval()
    assert blank_image(model).shape == shape
    with torch.no_grad():
        assert model(blank_image(model)).shape == (1, 2)


def dtypes_of_the_chains(model: nn.Module, images: Tensor, fp32_modules: bool) -> tuple[set, list[Supervision]]:
    """Return the precisions that the Conv blocks compute in under bf16 autocast, and the supervision points."""
    torch.manual_seed(1)
    points = ["layer1", "layer2", "layer3"]
    network = SupervisedNetwork(copy.deepcopy(model), points, ec_modules(model), True, fp32_modules)
    chains, backbone = set(), set()
    for module in network.attached.modules():
        module.register_forward_hook(lambda _, inputs, output: chains.update({inputs[0].dtype, output.dtype}))
    network.model.layer1[0].conv1.register_forward_hook(lambda *call: backbone.add(call[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        supervision = network.train()(images)
    assert backbone == {torch.bfloat16}
    loss_of(supervision).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    return chains, supervision


def test_modules_compute_in_float32_within_autocast_if_asked(small: nn.Module, images: Tensor) -> None:
    in_fp32, exact = dtypes_of_the_chains(small, images, fp32_modules=True)
    in_bf16, rounded = dtypes_of_the_chains(small, images, fp32_modules=False)
    assert in_fp32 == {torch.float32}
    assert torch.bfloat16 in in_bf16
    for one, other in zip(exact, rounded, strict=True):  # the same function, up to the rounding of bf16
        assert one.feature.dtype == other.feature.dtype == torch.float32
        torch.testing.assert_close(one.embedding, other.embedding, rtol=0.1, atol=0.03)


def test_modules_in_float32_are_the_same_function_without_autocast(small: nn.Module, images: Tensor) -> None:
    modules = ec_modules(small)
    torch.manual_seed(1)
    one = SupervisedNetwork(small, ["layer1", "layer2"], modules).eval()
    other = SupervisedNetwork(small, ["layer1", "layer2"], modules, fp32_modules=True).eval()
    for a, b in zip(one(images), other(images), strict=True):
        assert torch.equal(a.feature, b.feature)
