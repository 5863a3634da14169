import pytest
import torch
from torch import nn

from tests.architectures import Backbone
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build, parameter_count
from unlearning.models.ec_modules import ConvBlock, ec_modules, point_key
from unlearning.models.taps import tapped


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet50", [4.17, 3.97, 3.17]), ("swin_tiny_patch4_window7_224", [0.60, 0.57, 0.45])],
)
def test_parameter_counts_are_those_of_the_paper(name: str, millions: list[float]) -> None:
    modules = ec_modules(build(Architecture(name, {}, None, 10, 3, 224)))
    assert [round(parameter_count(module) / 1e6, 2) for module in modules.values()] == millions


def test_stage_k_of_n_has_n_minus_k_blocks(backbone: Backbone) -> None:
    modules = ec_modules(backbone.model)
    assert list(modules) == [point_key(stage) for stage in backbone.case.stages[:-1]]
    assert [len(module) for module in modules.values()] == [3, 2, 1]
    assert all(isinstance(block, ConvBlock) for module in modules.values() for block in module)


def test_modules_end_in_the_channels_of_the_last_stage(backbone: Backbone) -> None:
    modules = ec_modules(backbone.model).eval()
    with torch.no_grad(), tapped(backbone.model, backbone.case.stages) as features:
        backbone.model(backbone.images)
    for stage in backbone.case.stages[:-1]:
        output = modules[point_key(stage)](features[stage])
        assert output.shape[:2] == (len(backbone.images), backbone.case.channels[-1])


def test_blocks_pass_through_the_channels_of_the_stages_between(backbone: Backbone) -> None:
    channels = backbone.case.channels
    for k, module in enumerate(ec_modules(backbone.model).values()):
        assert [(block[0].in_channels, block[5].out_channels) for block in module] == list(
            zip(channels[k:], channels[k + 1 :], strict=False)
        )


def test_conv_block_has_the_layers_of_the_official_separable_convolution() -> None:
    block = ConvBlock(6, 10)
    kinds = [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in block] == kinds
    convolutions = [
        (c.in_channels, c.out_channels, c.kernel_size, c.stride, c.groups) for c in (block[i] for i in (0, 1, 4, 5))
    ]
    assert convolutions == [
        (6, 6, (3, 3), (2, 2), 6),
        (6, 6, (1, 1), (1, 1), 1),
        (6, 6, (3, 3), (1, 1), 6),
        (6, 10, (1, 1), (1, 1), 1),
    ]
    assert (block[2].num_features, block[6].num_features) == (6, 10)


def test_no_convolution_has_a_bias() -> None:
    assert all(layer.bias is None for layer in ConvBlock(6, 10) if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize(("size", "expected"), [((8, 8), (4, 4)), ((7, 5), (4, 3)), ((1, 1), (1, 1)), ((2, 1), (1, 1))])
def test_conv_block_halves_the_resolution_rounding_up(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert ConvBlock(6, 10).eval()(torch.randn(2, 6, *size)).shape == (2, 10, *expected)


def test_conv_block_starts_without_losing_the_scale_of_its_input() -> None:
    torch.manual_seed(0)
    block = ConvBlock(64, 64)
    for convolution in (block[1], block[5]):
        assert convolution.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)


@pytest.mark.parametrize(("module", "key"), [("layer1", "layer1"), ("layers.0", "layers/0"), ("a.b.c", "a/b/c")])
def test_point_keys_hold_no_dots(module: str, key: str) -> None:
    assert point_key(module) == key
