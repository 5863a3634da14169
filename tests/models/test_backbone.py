from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.architectures import CLASSES, SMALL
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.backbone import (
    Architecture,
    architecture,
    build,
    classifier_of,
    freeze,
    load_exactly,
    load_pretrained,
    parameter_count,
    weights_in,
)
from unlearning.params import Model


def shape(name: str, kwargs: dict[str, Any] | None = None, stem: int | None = None, classes: int = 5) -> Architecture:
    return Architecture(name, kwargs or {}, stem, classes, 3, 64)


def save(weights: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in weights.items()}, path)
    else:
        torch.save(weights, path)
    return path


def test_architecture_takes_its_classes_and_channels_from_the_data(manifest: Manifest) -> None:
    model = Model(name="resnet18", kwargs={"layers": [1, 1, 1, 1]}, small_stem=2, pretrained=False)
    assert architecture(model, manifest) == Architecture("resnet18", {"layers": [1, 1, 1, 1]}, 2, len(CLASSES), 3, 64)


@pytest.mark.parametrize("channels", [1, 4])
def test_model_has_the_asked_classes_and_channels(channels: int) -> None:
    model = build(Architecture(SMALL.name, SMALL.kwargs, None, 7, channels, 32)).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


def test_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"model\.name: .*'resnet5O'; near it are resnet50, "):
        build(shape("resnet5O"))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("resnet18", {"layers": 3}),
        ("resnet18", {"act_layer": "bogus"}),
        ("vit_tiny_patch16_224", {"num_heads": 5}),
        ("vit_tiny_patch16_224", {"num_heads": 0}),
        ("vit_tiny_patch16_224", {"depth": 2.5}),
    ],
)
def test_wrong_arguments_are_the_users_to_mend(name: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"model\.kwargs: timm cannot build {name} with .*{next(iter(kwargs))}"):
        build(shape(name, kwargs))


def test_model_without_pretrained_weights_says_so() -> None:
    with pytest.raises(InputError, match=r"model\.pretrained: timm has no weights of 'vit_base_patch16_18x2_224'"):
        build(shape("vit_base_patch16_18x2_224"), pretrained=True)


def test_failed_download_asks_for_a_local_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    with pytest.raises(InputError, match=r"model\.pretrained: .*convnext_atto could not be downloaded.*local file"):
        build(shape("convnext_atto"), pretrained=True)


STEMS = {
    "resnet18": "conv1",
    "resnet18d": "conv1.0",
    "efficientnet_b0": "conv_stem",
    "convnext_atto": "stem.0",
    "regnetx_002": "stem.conv",
}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", STEMS)
def test_small_stem_is_a_3x3_of_the_asked_stride(name: str, stride: int) -> None:
    model, plain = build(shape(name, stem=stride)).eval(), build(shape(name))
    stem, original = model.get_submodule(STEMS[name]), plain.get_submodule(STEMS[name])
    assert (stem.kernel_size, stem.stride) == ((3, 3), (stride, stride))
    assert (stem.out_channels, stem.bias is None) == (original.out_channels, original.bias is None)
    sizes = []
    stem.register_forward_hook(lambda _, __, output: sizes.append(output.shape[2:]))
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 32, 32))
    assert sizes == [(32 // stride, 32 // stride)]
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("stem", "side"), [(None, 8), (1, 32), (2, 16)])
def test_small_stem_of_a_resnet_has_no_max_pool_after_it(stem: int | None, side: int) -> None:
    model = build(shape(SMALL.name, SMALL.kwargs, stem))
    sizes = []
    model.layer1.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[2:])))
    model(torch.randn(2, 3, 32, 32))
    assert isinstance(model.maxpool, nn.Identity) == (stem is not None)
    assert sizes == [(side, side)]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_small_stem_is_refused_for_patch_models(name: str) -> None:
    with pytest.raises(InputError, match=r"model\.small_stem: .*model\.kwargs"):
        build(shape(name, stem=1))


ARCHITECTURES = [
    (SMALL.name, SMALL.kwargs, "fc."),
    ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, "head."),
    ("convnext_atto", {}, "head.fc."),
    ("efficientnet_b0", {}, "classifier."),
]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(("name", "kwargs", "classifier"), ARCHITECTURES)
def test_pretrained_weights_of_the_same_classes_are_all_loaded(
    tmp_path: Path, name: str, kwargs: dict, classifier: str, suffix: str
) -> None:
    weights = build(shape(name, kwargs)).state_dict()
    assert any(key.startswith(classifier) for key in weights)
    loaded = build(shape(name, kwargs), str(save(weights, tmp_path / f"weights{suffix}"))).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(("name", "kwargs", "classifier"), ARCHITECTURES)
def test_another_number_of_classes_keeps_the_fresh_classifier_and_loads_the_rest(
    tmp_path: Path, name: str, kwargs: dict, classifier: str, suffix: str
) -> None:
    weights = build(shape(name, kwargs, classes=7)).state_dict()
    model = build(shape(name, kwargs))
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    load_pretrained(model, save(weights, tmp_path / f"weights{suffix}"))
    for key, value in model.state_dict().items():
        assert torch.equal(value, fresh[key] if key.startswith(classifier) else weights[key]), key


def test_another_stem_keeps_the_fresh_stem_and_loads_the_rest(tmp_path: Path) -> None:
    weights = build(SMALL).state_dict()
    model = build(shape(SMALL.name, SMALL.kwargs, stem=1))
    fresh = model.conv1.weight.clone()
    load_pretrained(model, save(weights, tmp_path / "weights.pth"))
    assert torch.equal(model.conv1.weight, fresh)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items() if key != "conv1.weight")


@pytest.mark.parametrize(
    "other",
    [
        shape("resnet18", {"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 96]}),
        shape("resnet18", {"layers": [1, 1, 1, 2], "channels": [16, 32, 64, 128]}),
        shape("vit_tiny_patch16_224", {"img_size": 32, "depth": 1}),
    ],
    ids=["narrower", "deeper", "vit"],
)
def test_pretrained_weights_of_another_architecture_are_refused(tmp_path: Path, other: Architecture) -> None:
    path = save(build(other).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(
        InputError, match=r"weights\.safetensors \(model\.pretrained\) (does not fit ResNet|holds no weights)"
    ):
        build(SMALL, str(path))


def test_missing_pretrained_file_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere/weights\.pth"):
        build(SMALL, "nowhere/weights.pth")


@pytest.mark.parametrize("averaged", [False, True])
def test_weights_of_a_training_script_are_unwrapped_and_an_average_is_not_taken(
    tmp_path: Path, small: nn.Module, averaged: bool
) -> None:
    path, own = tmp_path / "checkpoint.pth", small.state_dict()
    wrapped = {f"module.{key}": value for key, value in own.items()}
    average = {"ema": {key: value + 1 for key, value in wrapped.items()}} if averaged else {}
    torch.save({"epoch": 3, "arch": "resnet", **average, "state_dict": wrapped}, path)
    weights = weights_in(path, set(own))
    assert all(torch.equal(weights[key], value) for key, value in own.items())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"<html>"])
def test_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pth "):
        build(SMALL, str(path))


@pytest.mark.parametrize("value", [[1, 2], {"model": 3}, torch.zeros(3), {"arch": "resnet", "weights": {}}])
def test_file_that_holds_something_else_than_weights_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(value, path)
    with pytest.raises(InputError, match=r"weights\.pth \(model\.pretrained\) holds no weights of this model"):
        build(SMALL, str(path))


def test_load_exactly_restores_every_weight(small: nn.Module) -> None:
    model = build(SMALL)
    load_exactly(model, small.state_dict(), Path("weights.pth"))
    assert all(torch.equal(value, small.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layer1.0.bn1.bias": None, "layer1.0.bn1.weight": None},
            r"layer1\.0\.bn1\.bias has nothing, expected \(16,\)",
        ),
        ({"another": torch.zeros(2, 3)}, r"another has \(2, 3\), expected nothing"),
        ({"fc.bias": torch.zeros(7), "fc.weight": torch.zeros(7, 128)}, r"fc\.bias has \(7,\), expected \(5,\)"),
    ],
    ids=["missing", "superfluous", "shape"],
)  # fmt: skip
def test_load_exactly_names_the_first_mismatch(small: nn.Module, change: dict, message: str) -> None:
    weights = {key: value for key, value in (small.state_dict() | change).items() if value is not None}
    more = f", and {len(change) - 1} more differ" if len(change) > 1 else ""
    with pytest.raises(InputError, match=rf"^weights\.pth .*{message}{more}; check model\.name"):
        load_exactly(build(SMALL), weights, Path("weights.pth"))


def test_model_without_a_single_linear_classifier_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.name: .*no single linear classifier"):
        classifier_of(build(shape("deit_tiny_distilled_patch16_224", {"depth": 1})))


def test_parameter_count_includes_frozen_ones() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5, bias=False).requires_grad_(False))
    assert parameter_count(module) == 3 * 4 + 4 + 4 * 5


def test_frozen_module_is_a_fixed_function(small: nn.Module, images: Tensor) -> None:
    frozen = freeze(small.train())
    first = frozen(images)
    assert frozen is small
    assert not first.requires_grad
    assert torch.equal(frozen(images), first)
