import pytest
import torch
from torch import nn

from tests.architectures import Backbone
from unlearning.errors import InputError
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build, classifier_of
from unlearning.models.taps import (
    Stage,
    blocks_of,
    check_layers,
    evaluation_layers,
    final_blocks,
    in_depth_order,
    penultimate,
    pooled,
    stage_of_each,
    stages,
    tapped,
    to_nchw,
)


def test_stages_are_the_four_that_the_paper_supervises(backbone: Backbone) -> None:
    assert [stage.module for stage in stages(backbone.model)] == backbone.case.stages
    assert [stage.channels for stage in stages(backbone.model)] == backbone.case.channels


def test_tapped_maps_are_timms_own_intermediates(backbone: Backbone) -> None:
    positions = [
        position
        for position, entry in enumerate(backbone.model.feature_info)
        if entry["module"] in backbone.case.stages
    ]
    with torch.no_grad():
        expected = backbone.model.forward_intermediates(
            backbone.images, indices=positions, output_fmt="NCHW", intermediates_only=True
        )
        with tapped(backbone.model, backbone.case.stages) as features:
            backbone.model(backbone.images)
    for stage, channels, value in zip(backbone.case.stages, backbone.case.channels, expected, strict=True):
        assert features[stage].shape[:2] == (len(backbone.images), channels)
        torch.testing.assert_close(features[stage], value)


def test_raw_taps_are_the_layers_own_outputs(backbone: Backbone) -> None:
    layer = backbone.case.stages[1]
    outputs = []
    handle = backbone.model.get_submodule(layer).register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.no_grad(), tapped(backbone.model, [layer], raw=True) as features:
        backbone.model(backbone.images)
    handle.remove()
    assert features[layer] is outputs[0]


def test_penultimate_is_the_classifiers_input(backbone: Backbone) -> None:
    with torch.no_grad(), penultimate(backbone.model) as last:
        backbone.model(backbone.images[:1])
        backbone.model(backbone.images)
        features = backbone.model.forward_features(backbone.images)
        expected = backbone.model.forward_head(features, pre_logits=True)
    assert len(last) == 1
    torch.testing.assert_close(last[0], expected)


def test_no_hook_outlives_its_context(backbone: Backbone) -> None:
    with (
        pytest.raises(RuntimeError, match="interrupted"),
        tapped(backbone.model, backbone.case.stages),
        penultimate(backbone.model),
    ):
        raise RuntimeError("interrupted")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.model.modules())


def test_final_blocks_and_evaluation_layers(backbone: Backbone) -> None:
    assert final_blocks(backbone.model) == backbone.case.last_blocks
    assert evaluation_layers(backbone.model) == backbone.case.stages[:3] + backbone.case.last_blocks


def test_evaluation_layers_are_the_models_own_and_in_the_order_of_execution(backbone: Backbone) -> None:
    layers = evaluation_layers(backbone.model)
    assert check_layers(backbone.model, layers, "evaluate.layers") == layers
    assert layers == order_of_execution(backbone, layers)


def test_depth_order_is_the_order_of_execution_even_of_blocks_within_a_stage(backbone: Backbone) -> None:
    model = backbone.model
    layers = [name for stage in stages(model) for name in {stage.module, *blocks_of(model, stage)}]
    expected = order_of_execution(backbone, layers)
    assert in_depth_order(model, sorted(layers, reverse=True) + layers) == expected


def order_of_execution(backbone: Backbone, layers: list[str]) -> list[str]:
    order: list[str] = []
    handles = [
        backbone.model.get_submodule(layer).register_forward_hook(lambda *_, layer=layer: order.append(layer))
        for layer in layers
    ]
    with torch.no_grad():
        backbone.model(backbone.images[:1])
    for handle in handles:
        handle.remove()
    return order


@pytest.mark.parametrize(("depth", "expected"), [(4, [0, 1, 2, 3]), (6, [0, 2, 3, 5]), (3, [0, 1, 2])])
def test_stages_of_constant_resolution_quarter_the_depth(depth: int, expected: list[int]) -> None:
    kwargs = {"img_size": 32, "embed_dim": 24, "depth": depth}
    model = build(Architecture("vit_tiny_patch16_224", kwargs, None, 2, 3, 32))
    assert stages(model) == [Stage(f"blocks.{number}", 24) for number in expected]


def test_model_without_feature_info_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.name.*Linear"):
        stages(nn.Linear(2, 2))


def test_unknown_layer_is_refused_with_the_key_and_the_nearest_layer(small: nn.Module) -> None:
    with pytest.raises(InputError, match=r"idi\.layers: .*'layer44'.*did you mean 'layer4'.*layer1, layer2, layer3"):
        check_layers(small, ["layer1", "layer44"], "idi.layers")


def test_tokens_lose_their_prefix_and_become_rows_of_the_grid() -> None:
    model = nn.Identity()
    model.num_prefix_tokens = 2
    model.patch_embed = nn.Identity()
    model.patch_embed.grid_size = (2, 3)
    tokens = torch.arange(8.0).view(1, 8, 1).expand(1, 8, 4)
    expected = torch.tensor([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]).expand(1, 4, 2, 3)
    assert torch.equal(to_nchw(tokens, model), expected)


@pytest.mark.parametrize(("tokens", "grid"), [(9, (3, 3)), (7, (1, 7))])
def test_tokens_without_a_known_grid_are_a_square_or_a_row(tokens: int, grid: tuple[int, int]) -> None:
    assert to_nchw(torch.zeros(2, tokens, 5), nn.Identity()).shape == (2, 5, *grid)


def test_pooled_is_the_spatial_mean() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert torch.equal(pooled(features), torch.tensor([[3.0, -1.0]]))


def test_every_weight_belongs_to_the_stage_by_whose_end_it_is_used(backbone: Backbone) -> None:
    """Known by gradient: what a stage's end depends on is in this stage or an earlier one, and nothing else is."""
    model, names = backbone.model, [stage.module for stage in stages(backbone.model)]
    of = stage_of_each(model)
    parameters = dict(model.named_parameters())
    reached: set[str] = set()
    for number, layer in enumerate(names[:-1]):
        with tapped(model, [layer], raw=True) as features:
            model(backbone.images)
        gradients = torch.autograd.grad(features[layer].sum(), list(parameters.values()), allow_unused=True)
        now = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
        assert {of[name] for name in now - reached} == {number}
        reached |= now
    assert all(of[name] >= len(names) - 1 for name in set(parameters) - reached)
    head = classifier_of(model)
    ids = {id(parameter) for parameter in head.parameters()}
    assert {name for name, stage in of.items() if stage == len(names)} == {
        name for name, parameter in parameters.items() if id(parameter) in ids
    }
    assert set(of) == set(model.state_dict())
