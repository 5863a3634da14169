from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.architectures import enliven
from tests.conftest import SHAPE
from unlearning.data.batches import ImageSplit, in_order
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import launch
from unlearning.errors import InputError
from unlearning.evaluation.forward_pass import Pass, forward_pass
from unlearning.models.backbone import build

LAYERS = ["layer1", "layer3"]
BATCH = 7  # does not divide the 24 test images
POSITIONS = np.array([1, 6, 7, 8, 20, 23])  # some in the first, second, third and last batch
NO_SECOND_BATCH = np.array([0, 6, 14])
NONE, ALL = np.array([], dtype=np.int64), np.arange(24)


@pytest.fixture
def model(world: Manifest) -> nn.Module:
    """Return an untrained network that nevertheless predicts several classes, in training mode."""
    torch.manual_seed(0)
    model = enliven(build(SHAPE))
    with torch.no_grad():
        model.fc.bias -= plain(world, model)["logits"].mean(dim=0).to(model.fc.bias.device)
    return model.train()


def split(world: Manifest) -> ImageSplit:
    return ImageSplit(world, "test", launch("fp32").device)


def run(world: Manifest, model: nn.Module, batch_size: int = BATCH, precision: str = "fp32", **options: Any) -> Pass:
    return forward_pass(model, split(world), launch(precision), batch_size, "ec on the test split", **options)


def plain(world: Manifest, model: nn.Module) -> dict[str, Tensor]:
    """Return what each layer gives for the whole test split in one batch, and "images" and "logits"."""
    (batch,) = split(world).batches(in_order(np.arange(24), 24))
    model.eval().to(batch.images.device)
    outputs = {"images": batch.images.cpu()}
    with torch.no_grad():
        x = model.maxpool(model.act1(model.bn1(model.conv1(batch.images))))
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(model, name)(x)
            outputs[name] = x.cpu()
        outputs["penultimate"] = x.mean(dim=(2, 3)).cpu()
        outputs["logits"] = model.fc(x.mean(dim=(2, 3))).cpu()
    return outputs


def test_each_image_goes_through_the_model_once_in_the_order_of_the_split(world: Manifest, model: nn.Module) -> None:
    seen: list[Tensor] = []
    model.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].cpu()))
    run(world, model, layers=LAYERS, map_layers=LAYERS, map_positions=POSITIONS)
    assert [len(images) for images in seen] == [7, 7, 7, 3]
    assert torch.equal(torch.cat(seen), plain(world, model)["images"])


@pytest.mark.parametrize("batch_size", [1, BATCH, 24, 100])
def test_predictions_and_labels_are_those_of_the_split_in_order(
    world: Manifest, model: nn.Module, batch_size: int
) -> None:
    kept = run(world, model, batch_size)
    assert kept.labels.tolist() == world.splits["test"].labels.tolist()
    assert torch.equal(kept.predictions, plain(world, model)["logits"].argmax(dim=1))
    assert len(kept.predictions.unique()) > 1  # or any order would do


@pytest.mark.parametrize(
    "options", [{}, {"layers": ["layer2"]}, {"map_layers": ["layer2"], "map_positions": POSITIONS}]
)
def test_logits_and_penultimate_features_of_all_images_are_kept_unless_told_otherwise(
    world: Manifest, model: nn.Module, options: dict[str, Any]
) -> None:
    kept = run(world, model, **options)
    expected = plain(world, model)
    assert kept.positions.tolist() == list(range(24))
    assert torch.equal(kept.kept_labels, kept.labels)
    torch.testing.assert_close(kept.logits, expected["logits"])
    torch.testing.assert_close(kept.features["penultimate"], expected["penultimate"])
    assert list(kept.features) == [*options.get("layers", []), "penultimate"]
    assert list(kept.maps) == options.get("map_layers", [])


@pytest.mark.parametrize("keep", [POSITIONS, NO_SECOND_BATCH, NONE, ALL])
def test_what_is_kept_is_bounded_while_predictions_and_labels_cover_the_split(
    world: Manifest, model: nn.Module, keep: np.ndarray
) -> None:
    kept = run(world, model, keep=keep, layers=LAYERS)
    expected = plain(world, model)
    assert torch.equal(kept.predictions, expected["logits"].argmax(dim=1))
    assert kept.labels.tolist() == world.splits["test"].labels.tolist()
    assert kept.positions.tolist() == keep.tolist()
    assert kept.kept_labels.tolist() == world.splits["test"].labels[keep].tolist()
    torch.testing.assert_close(kept.logits, expected["logits"][keep])
    torch.testing.assert_close(kept.features["penultimate"], expected["penultimate"][keep])
    for layer in LAYERS:
        torch.testing.assert_close(kept.features[layer], expected[layer].mean(dim=(2, 3))[keep])


@pytest.mark.parametrize("rows", [[0, 2, 5], [3], list(range(6))])
def test_layers_are_kept_for_some_of_what_is_kept_and_the_last_feature_for_all(
    world: Manifest, model: nn.Module, rows: list[int]
) -> None:
    kept = run(world, model, keep=POSITIONS, layers=LAYERS, layer_rows=np.array(rows))
    expected = plain(world, model)
    torch.testing.assert_close(kept.features["penultimate"], expected["penultimate"][POSITIONS])
    for layer in LAYERS:
        assert len(kept.features[layer]) == len(rows)
        asked = torch.tensor(rows[::-1])
        torch.testing.assert_close(kept.of_layer(layer, asked), expected[layer].mean(dim=(2, 3))[POSITIONS[rows[::-1]]])
    torch.testing.assert_close(kept.of_layer("penultimate", slice(1, 3)), expected["penultimate"][POSITIONS[1:3]])


def test_a_row_that_a_layer_does_not_have_is_not_answered_with_another(world: Manifest, model: nn.Module) -> None:
    kept = run(world, model, keep=POSITIONS, layers=LAYERS, layer_rows=np.array([0, 2, 5]))
    with pytest.raises(AssertionError):
        kept.of_layer("layer1", torch.tensor([0, 3]))


def test_pooled_features_are_the_spatial_means_and_the_penultimate_feature(world: Manifest, model: nn.Module) -> None:
    kept = run(world, model, layers=LAYERS)
    expected = plain(world, model)
    assert list(kept.features) == [*LAYERS, "penultimate"]
    for layer in LAYERS:
        torch.testing.assert_close(kept.features[layer], expected[layer].mean(dim=(2, 3)))
    torch.testing.assert_close(kept.features["penultimate"], expected["penultimate"])
    assert kept.maps == {}


@pytest.mark.parametrize("positions", [POSITIONS, NO_SECOND_BATCH])
def test_maps_are_kept_for_the_asked_positions_alone(world: Manifest, model: nn.Module, positions: np.ndarray) -> None:
    kept = run(world, model, map_layers=["layer2", "layer4"], map_positions=positions)
    expected = plain(world, model)
    assert list(kept.maps) == ["layer2", "layer4"]
    for layer, values in kept.maps.items():
        torch.testing.assert_close(values, expected[layer][positions])
    assert list(kept.features) == ["penultimate"]


def test_features_and_maps_are_each_kept_for_positions_of_their_own(world: Manifest, model: nn.Module) -> None:
    kept = run(world, model, keep=NO_SECOND_BATCH, layers=["layer2"], map_layers=["layer2"], map_positions=POSITIONS)
    expected = plain(world, model)["layer2"]
    torch.testing.assert_close(kept.features["layer2"], expected.mean(dim=(2, 3))[NO_SECOND_BATCH])
    torch.testing.assert_close(kept.maps["layer2"], expected[POSITIONS])


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_maps_keep_the_precision_of_the_pass_while_features_and_logits_are_float32(
    world: Manifest, model: nn.Module, precision: str, dtype: torch.dtype
) -> None:
    kept = run(world, model, precision=precision, layers=LAYERS, map_layers=LAYERS, map_positions=POSITIONS)
    assert [values.dtype for values in kept.maps.values()] == [dtype, dtype]
    assert {values.dtype for values in [kept.logits, *kept.features.values()]} == {torch.float32}


def test_the_model_is_left_without_hooks_and_with_its_batch_statistics(world: Manifest, model: nn.Module) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run(world, model, layers=LAYERS)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value.cpu(), before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"layers": ["layer1", "layer2", "layer3"]}, "features of layer2"),
        ({"layers": ["layer1"]}, "features of penultimate"),
        ({"keep": NONE, "map_layers": ["layer1", "layer4"], "map_positions": POSITIONS}, "maps of layer4"),
    ],
)
def test_a_nan_weight_is_an_error_that_names_model_split_and_the_first_layer_after_it(
    world: Manifest, model: nn.Module, options: dict[str, Any], named: str
) -> None:
    with torch.no_grad():
        model.layer2[0].conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(
        InputError, match=rf"^ec on the test split: the {named} hold NaN or infinity; the model is broken"
    ):
        run(world, model, **options)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_broken_classifier_is_an_error_that_names_the_logits(world: Manifest, model: nn.Module, value: float) -> None:
    with torch.no_grad():
        model.fc.bias[3] = value
    with pytest.raises(InputError, match=r"^ec on the test split: the logits hold NaN or infinity"):
        run(world, model, layers=LAYERS)
