import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.architectures import CLASSES, Backbone, backbone, enliven  # noqa: F401 - a fixture is used by its name
from unlearning.commands import main
from unlearning.data.images import evaluation_view
from unlearning.data.manifest import Manifest, Split, save_manifest
from unlearning.data.reading import read_image
from unlearning.errors import InputError
from unlearning.export import exported, outputs, write_export
from unlearning.models.backbone import Architecture, build
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, new_header, save_checkpoint

FORGET = [1, 3]
TARGET = Path("erased")
PARAMS = {"lr": 0.1, "augment": {"flip": 0.5}}
NARROW = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 16]}

BY_TIMM = """
import sys, timm, torch
from safetensors.torch import load_file, save_file
network = timm.create_model("local-dir:" + sys.argv[1], pretrained=True).eval()
with torch.inference_mode():
    save_file({"logits": network(load_file(sys.argv[2])["images"])}, sys.argv[3])
assert "unlearning" not in sys.modules
"""
BY_NAME = BY_TIMM.replace(
    'timm.create_model("local-dir:" + sys.argv[1], pretrained=True)',
    'timm.create_model("resnet18", num_classes=5, layers=[1, 1, 1, 1], channels=[8, 8, 8, 16])',
).replace(".eval()\n", '.eval()\nnetwork.load_state_dict(load_file(sys.argv[1] + "/model.safetensors"))\n')
BY_LOADER = """
import sys, torch
from safetensors.torch import load_file, save_file
sys.path.insert(0, sys.argv[1])
from model import load
with torch.inference_mode():
    save_file({"logits": load()(load_file(sys.argv[2])["images"])}, sys.argv[3])
assert "unlearning" not in sys.modules
"""


def manifest_of(architecture: Architecture) -> Manifest:
    splits = {
        name: Split([f"{name}{i}" for i in range(6)], np.arange(6) % 5) for name in ("train", "validation", "test")
    }
    channels, size = architecture.channels, architecture.image_size
    mean, std = [0.4, 0.5, 0.6][:channels], [0.25, 0.2, 0.3][:channels]
    return Manifest("toy", CLASSES, size, channels, mean, std, None, "content", splits, FORGET)


def saved(architecture: Architecture, model: nn.Module | None = None, **changes: Any) -> tuple[nn.Module, Manifest]:
    """Save an erased model as the pipeline does; return it with its manifest, to which changes are made."""
    torch.manual_seed(0)
    network, manifest = model or enliven(build(architecture)), replace(manifest_of(architecture), **changes)
    save_manifest(manifest)
    header = new_header(architecture, manifest, "unlearn@ec", PARAMS, "0123abc deployed.pt")
    save_checkpoint(checkpoint_path("ec", 0), Checkpoint(header, network, None))
    return network, manifest


def export(manifest: Manifest, drop_forgotten: bool = False) -> None:
    write_export(exported("ec", 0, manifest, drop_forgotten), manifest, {}, TARGET)


def logits_by(program: str, images: Tensor) -> Tensor:
    """Return what another Python gets, to which the folder alone was given."""
    save_file({"images": images}, "images.safetensors")
    command = [sys.executable, "-c", program, str(TARGET), "images.safetensors", "logits.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return load_file("logits.safetensors")["logits"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("program", [BY_TIMM, BY_NAME, BY_LOADER], ids=["timm", "by name", "loader"])
def test_others_get_the_same_logits_to_the_bit(program: str) -> None:
    network, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    export(manifest)
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(logits_by(program, images), outputs(network, images))


def test_every_kind_of_backbone_is_rebuilt_by_timm(backbone: Backbone) -> None:  # noqa: F811
    import timm

    _, manifest = saved(backbone.case.architecture, backbone.model)
    export(manifest)
    network = timm.create_model(f"local-dir:{TARGET}", pretrained=True)
    assert torch.equal(outputs(network, backbone.images), outputs(backbone.model, backbone.images))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_stem_for_small_images_and_grey_ones_are_rebuilt_by_the_loader(channels: int, stride: int) -> None:
    network, manifest = saved(Architecture("resnet18", NARROW, stride, 5, channels, 8))
    export(manifest)
    images = torch.randn(4, channels, 8, 8)
    assert torch.equal(logits_by(BY_LOADER, images), outputs(network, images))


def test_grey_images_without_a_small_stem_are_timms_own_business() -> None:
    network, manifest = saved(Architecture("resnet18", NARROW, None, 5, 1, 32))
    export(manifest)
    images = torch.randn(4, 1, 32, 32)
    assert torch.equal(logits_by(BY_TIMM, images), outputs(network, images))


def test_without_the_forgotten_outputs_the_others_are_the_same_bits_in_order() -> None:
    network, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    export(manifest, drop_forgotten=True)
    images = torch.randn(4, 3, 32, 32)
    kept = [0, 2, 4]
    torch.testing.assert_close(logits_by(BY_TIMM, images), outputs(network, images)[:, kept], rtol=0, atol=1e-6)
    weights = load_file(TARGET / "model.safetensors")
    assert torch.equal(weights["fc.weight"], network.state_dict()["fc.weight"][kept])
    assert torch.equal(weights["fc.bias"], network.state_dict()["fc.bias"][kept])
    config = json.loads((TARGET / "config.json").read_text())
    assert config["label_names"] == ["ant", "cat", "elk"]
    assert config["erasure"] | {"forgotten": ["bee", "dog"], "outputs_dropped": True} == config["erasure"]


@pytest.mark.parametrize("resize", [[], [40], [40, 48]], ids=["none", "shorter side", "stretched"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_the_loader_prepares_an_image_as_the_evaluation_does(resize: list[int], mode: str) -> None:
    architecture = Architecture("resnet18", NARROW, None, 5, 3, 32)
    _, manifest = saved(architecture)
    manifest = replace(manifest, eval_resize=resize)
    write_export(exported("ec", 0, manifest_of(architecture), False), manifest, {}, TARGET)
    pixels = np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save("photo.png")
    ours = evaluation_view(read_image(Path("photo.png")), 32, resize).float() / 255
    ours = (ours - torch.tensor(manifest.mean)[:, None, None]) / torch.tensor(manifest.std)[:, None, None]
    from unlearning.export import loader_of

    theirs = loader_of(TARGET).transform(TARGET)(Image.open("photo.png"))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


def test_timm_prepares_images_of_the_right_size_and_scale() -> None:
    import timm

    _, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    export(manifest)
    network = timm.create_model(f"local-dir:{TARGET}", pretrained=True)
    expected = timm.data.resolve_data_config(model=network)
    assert tuple(expected["input_size"]) == (3, 32, 32)
    assert list(expected["mean"]) == manifest.mean
    assert list(expected["std"]) == manifest.std
    assert expected["crop_pct"] == 1.0


def test_a_fault_in_what_is_written_is_found_before_anybody_loads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    one = exported("ec", 0, manifest, False)
    with torch.no_grad():
        one.network.conv1.weight[0, 0, 0, 0].add_(1e-3)
    wrong = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    monkeypatch.setattr("unlearning.export.save_file", lambda _, path, metadata: save_file(wrong, path, metadata))
    with pytest.raises(InputError, match="answers otherwise than unlearn@ec"):
        write_export(one, manifest, {}, TARGET)


def details(forget_acc: float, **changes: Any) -> dict[str, Any]:
    metrics = {"forget_acc": forget_acc, "retain_acc": 97.25, "cka": 46.9, "linear_probe": 94.4}
    curves = {name: {"forget": {"1": 10.0, "5": 54.16}} for name in ("prototype", "relearn")}
    return {"metrics": metrics | changes, **curves}


def test_the_card_says_what_was_erased_how_and_with_what_result() -> None:
    _, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    measured = {"original": details(99.5, cka=100.0), "ec": details(0.0, idi=0.281)}
    write_export(exported("ec", 0, manifest, False), manifest, measured, TARGET)
    head, _, body = (TARGET / "README.md").read_text().removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(head)["library_name"] == "timm"
    assert "# resnet18 without the classes bee and dog" in body
    assert "| bee | 1 | 1 |\n| dog | 3 | 1 |\n" in body
    assert "EC, Erase at the Core" in body
    assert "- augment.flip: 0.5" in body
    assert "0123abc deployed.pt" in body
    rows = dict(re.findall(r"^\| (.*?) \| (.*) \|$", body, flags=re.MULTILINE))
    assert rows["training images of the erased classes still named rightly, %"] == "99.5 | 0.0"
    assert rows["what the features tell of erased classes, IDI, 0 = as a retrained model, 1 = as the original"] == (
        "– | 0.28"
    )
    assert rows["named again after training on 5 images a class, %"] == "54.2 | 54.2"
    assert not any("test images" in words for words in rows)  # nothing was measured there
    assert "0. ant\n1. bee\n" in body
    assert "Each number is of this very network." in body


def test_the_card_of_a_network_without_the_outputs_says_that_it_was_measured_with_them() -> None:
    _, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    write_export(exported("ec", 0, manifest, True), manifest, {"ec": details(0.0)}, TARGET)
    card = (TARGET / "README.md").read_text()
    assert "Each number is of this network before those outputs were taken out." in card
    assert "it has none that names them" in card
    assert "0. ant\n1. cat\n2. elk\n" in card


def test_classes_of_an_earlier_request_are_named_and_their_outputs_taken_out_too() -> None:
    _, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32), forget_classes=[1], erased_before=[3])
    write_export(exported("ec", 0, manifest, True), manifest, {}, TARGET)
    card = (TARGET / "README.md").read_text()
    assert "# resnet18 without the classes bee and dog" in card
    assert "| dog | 3 | erased before |" in card
    assert "0. ant\n1. cat\n2. elk\n" in card


def test_the_card_of_a_model_without_samples_says_how_many_of_which_class() -> None:
    samples = {"forget_classes": [], "forget_samples": (0, 2)}
    _, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32), **samples)
    measured = {"ec": details(90.0, mia_auc=50.4) | {"by_samples": True}}
    write_export(exported("ec", 0, manifest, False), manifest, measured, TARGET)
    card = (TARGET / "README.md").read_text()
    assert "# resnet18 without 2 training images" in card
    assert "| ant | 0 | 1 |\n| cat | 2 | 1 |\n" in card
    assert "| erased training images named rightly, % | 90.0 |" in card
    assert "erased classes" not in card.partition("## What this cannot promise")[0]
    with pytest.raises(InputError, match="--drop-forgotten: samples were erased"):
        exported("ec", 0, manifest, True)


def test_a_card_of_a_model_that_was_not_measured_says_so() -> None:
    _, manifest = saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    export(manifest)
    assert "exported before it was measured" in (TARGET / "README.md").read_text()


def test_onnx_gives_the_same_logits_for_any_number_of_images() -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from unlearning.export import write_onnx

    network, manifest = saved(Architecture("resnet18", NARROW, 1, 5, 3, 32))
    write_onnx(exported("ec", 0, manifest, False), manifest, Path("model.onnx"))
    session = runtime.InferenceSession("model.onnx")
    for count in (1, 2, 5):
        images = torch.randn(count, 3, 32, 32)
        (logits,) = session.run(None, {"image": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), outputs(network, images), rtol=1e-4, atol=1e-4)


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_bytes((Path(__file__).parents[2] / "params.yaml").read_bytes())
    saved(Architecture("resnet18", NARROW, None, 5, 3, 32))
    with pytest.raises(SystemExit, match="1"):
        main(["export", "ecc", "erased"])
    error = capsys.readouterr().err
    assert error.startswith("error: no checkpoint models/ecc/0.safetensors; ")
    assert error.count("\n") == 1
