import copy

import pytest
import torch
from torch import Tensor, nn

from tests.architectures import SMALL, Backbone, enliven
from tests.conftest import weights_of
from unlearning.evaluation.tail import Tail
from unlearning.models.backbone import build, classifier_of
from unlearning.models.taps import evaluation_layers, penultimate, tapped


def outputs_of(backbone: Backbone) -> tuple[dict[str, Tensor], Tensor]:
    """Return the layers' raw outputs and the penultimate feature, by one pass of the model itself."""
    with torch.no_grad(), tapped(backbone.model, evaluation_layers(backbone.model), raw=True) as features:
        with penultimate(backbone.model) as last:
            backbone.model(backbone.images)
        return features, last[0]


def gradients_after(backbone: Backbone, layer: str) -> dict[str, Tensor]:
    """Return {parameter: gradient} of the model itself, cut behind the layer: only what follows gets any."""
    model = copy.deepcopy(backbone.model)
    model.get_submodule(layer).register_forward_hook(lambda _, __, output: output.detach().requires_grad_())
    with penultimate(model) as last:
        model(backbone.images)
    loss_of(last[0]).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def loss_of(feature: Tensor) -> Tensor:
    """Return a loss in which every coordinate matters."""
    return (feature - torch.randn(feature.shape, generator=torch.Generator().manual_seed(0))).square().mean()


def test_maps_each_layers_output_to_the_models_own_penultimate_feature(backbone: Backbone) -> None:
    features, expected = outputs_of(backbone)
    given = {layer: feature.clone() for layer, feature in features.items()}
    for layer in evaluation_layers(backbone.model):
        tail = Tail(backbone.model, layer).eval()
        with torch.no_grad():
            torch.testing.assert_close(tail(features[layer]), expected, msg=layer)
            torch.testing.assert_close(tail(features[layer][1:2]), expected[1:2], msg=layer)
        assert torch.equal(features[layer], given[layer]), f"{layer}: the given features were written to"


def test_late_parameters_get_the_models_own_gradients_and_no_others_get_any(backbone: Backbone) -> None:
    features, _ = outputs_of(backbone)
    for layer in evaluation_layers(backbone.model):
        expected = gradients_after(backbone, layer)
        tail = Tail(backbone.model, layer).eval()
        given = features[layer].clone().requires_grad_()
        loss_of(tail(given)).backward()
        assert given.grad.any()
        named = dict(tail.model.named_parameters())
        assert {name for name, parameter in named.items() if parameter.grad is not None} == set(expected)
        assert {id(parameter) for parameter in tail.late_parameters()} == {id(named[name]) for name in expected}
        for name, gradient in expected.items():
            torch.testing.assert_close(named[name].grad, gradient, rtol=1e-3, atol=1e-5, msg=f"{layer}: {name}")


def test_only_what_follows_the_layer_is_late_and_trains(backbone: Backbone) -> None:
    counts = []
    for layer in evaluation_layers(backbone.model):
        tail = Tail(backbone.model, layer)
        late = {id(parameter) for parameter in tail.late_parameters()}
        counts.append(len(late))
        assert not late & {id(parameter) for parameter in classifier_of(tail.model).parameters()}
        assert tail.train() is tail
        for name, module in tail.model.named_modules():
            for parameter in module.parameters(recurse=False):
                assert module.training == (id(parameter) in late), f"{layer}: {name}"
        tail.eval()
        assert not any(module.training for module in tail.modules())
    assert counts == sorted(set(counts), reverse=True)  # fewer and fewer with depth


def hooks_of(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if module._forward_hooks or module._forward_pre_hooks]


def test_the_original_is_left_as_it_was(backbone: Backbone) -> None:
    model = copy.deepcopy(backbone.model).requires_grad_(False).train()
    model.get_submodule(backbone.case.stages[0]).eval()  # neither all in training nor all in eval mode
    modes = {name: module.training for name, module in model.named_modules()}
    before = weights_of(model)
    features, _ = outputs_of(backbone)

    layer = backbone.case.stages[1]
    tail = Tail(model, layer).train()
    optimizer = torch.optim.SGD(tail.late_parameters(), lr=0.1)
    loss_of(tail(features[layer])).backward()
    optimizer.step()

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in tail.model.state_dict().items())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert hooks_of(model) == hooks_of(tail.model) == []


def test_training_moves_only_the_late_batch_statistics() -> None:
    tail = Tail(enliven(build(SMALL)), "layer3").train()
    before = weights_of(tail.model)
    tail(torch.randn(4, 64, 4, 4))
    moved = {name for name, value in tail.model.state_dict().items() if not torch.equal(value, before[name])}
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert moved == {name for name in statistics if name.startswith("layer4")} != set()


def test_features_that_do_not_fit_leave_no_hook_behind() -> None:
    tail = Tail(build(SMALL), "layer3")
    with pytest.raises(RuntimeError, match="channels"):
        tail(torch.zeros(1, 7, 4, 4))
    assert hooks_of(tail.model) == []


def test_what_lies_before_the_layer_is_not_computed_again(backbone: Backbone) -> None:
    features, expected = outputs_of(backbone)
    layer = evaluation_layers(backbone.model)[-1]
    tail = Tail(backbone.model, layer).eval()
    late = {id(parameter) for parameter in tail.late_parameters()}
    seen: list[nn.Module] = []
    target = tail.model.get_submodule(layer)
    for module in target.modules():
        if module is not target:
            module.register_forward_hook(lambda module, *_: seen.append(module))
    with torch.no_grad():
        for parameter in target.parameters():
            assert id(parameter) not in late
            parameter.fill_(torch.nan)
        torch.testing.assert_close(tail(features[layer]), expected)
    assert seen == []
