import argparse
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.utils import CheckpointSaver, ModelEmaV2
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.architectures import SMALL, enliven
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.models.ec_modules import ec_modules
from unlearning.models.given import Given, GivenFile, load_given, trained_on
from unlearning.params import Reference

FORMATS = ["own.safetensors", "plain.safetensors", "plain.pth", "wrapped.pth"]


def write(file: str, model: nn.Module, manifest: Manifest, architecture: Architecture = SMALL) -> Path:
    """Save a classifier in the format that the file's name says."""
    path = Path(file)
    if file == "own.safetensors":
        header = new_header(architecture, manifest, "train@original", {})
        save_checkpoint(path, Checkpoint(header, model, ec_modules(model)))
    elif file == "plain.safetensors":
        save_file(model.state_dict(), path)
    else:
        weights = model.state_dict()
        torch.save({"epoch": 1, "state_dict": weights} if file == "wrapped.pth" else weights, path)
    return path


def given(
    path: Path | str,
    manifest: Manifest,
    sha256: str | None = None,
    checkpoint_key: str | None = None,
    architecture: Architecture = SMALL,
) -> Given:
    return load_given(GivenFile(Path(path), sha256, checkpoint_key, "original"), architecture, manifest)


def saved(content: object, name: str = "own.pth") -> Path:
    torch.save(content, name)
    return Path(name)


def same(model: nn.Module, other: nn.Module) -> bool:
    """Return whether two models of one architecture have the same weights."""
    own = model.state_dict()
    return all(torch.equal(value, own[name]) for name, value in other.state_dict().items())


def another(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return enliven(build(SMALL))


@pytest.fixture
def manifest(manifest: Manifest) -> Manifest:
    """Return what the original knows: no class to forget."""
    return replace(manifest, forget_classes=[])


@pytest.fixture
def kept(manifest: Manifest) -> Manifest:
    """Return what the retrained model knows: two of five classes are to be forgotten."""
    return replace(manifest, forget_classes=[1, 3])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(folder: Path) -> None:
    assert not list(folder.iterdir())


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_gives_the_users_model_and_its_source(
    file: str, small: nn.Module, manifest: Manifest, images: Tensor
) -> None:
    path = write(file, small, manifest)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    taken = given(path, manifest, expected)
    assert taken.source == f"{expected} {file}"
    assert taken.normalised == (file == "own.safetensors")
    assert same(taken.model, small)
    with torch.no_grad():
        assert torch.equal(taken.model.eval()(images), small(images))


def test_only_of_own_checkpoints_is_it_known_on_which_split_they_were_trained(
    small: nn.Module, manifest: Manifest
) -> None:
    own, other = (str(write(file, small, manifest)) for file in ("own.safetensors", "plain.pth"))
    Path("broken.pth").write_bytes(b"no checkpoint")

    def known(*files: str, of: Manifest = manifest) -> bool:
        return trained_on(Reference(checkpoint=list(files) or None, sha256=None, checkpoint_key=None), of)

    assert known(own)
    assert known(own, own)
    assert not known(own, of=replace(manifest, content="another"))
    assert not any(known(*files) for files in [(), (other,), (own, other), ("broken.pth",), ("nowhere.pth",)])


def test_hash_may_be_left_out_or_in_upper_case_or_with_space_around(small: nn.Module, manifest: Manifest) -> None:
    path = write("plain.pth", small, manifest)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for sha256 in (None, digest, digest.upper(), f" {digest}\n"):
        assert given(path, manifest, sha256).source == f"{digest} plain.pth"


def test_file_of_another_hash_is_refused_with_both(small: nn.Module, manifest: Manifest) -> None:
    path = write("plain.pth", small, manifest)
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=rf"original\.sha256: plain\.pth has SHA-256 {actual}, expected {'0' * 64}"):
        given(path, manifest, "0" * 64)


def test_a_path_may_begin_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    reference = Reference(checkpoint=["~/a.pth", " b.pth"], sha256=None, checkpoint_key="model_ema")
    files = [GivenFile.of(reference, place, "retrained") for place in range(2)]
    assert files == [GivenFile(path, None, "model_ema", "retrained") for path in (tmp_path / "a.pth", Path("b.pth"))]


@pytest.mark.parametrize("path", ["nowhere.pth", "", "."])
def test_missing_file_is_named_with_its_key(path: str, manifest: Manifest) -> None:
    with pytest.raises(InputError, match=rf"original\.checkpoint: no file {path}"):
        given(path, manifest)


def test_an_empty_file_is_named(manifest: Manifest) -> None:
    Path("own.safetensors").touch()
    with pytest.raises(InputError, match=r"own\.safetensors is empty"):
        given("own.safetensors", manifest)


@pytest.mark.parametrize("file", FORMATS)
def test_another_architecture_is_refused(file: str, manifest: Manifest) -> None:
    other = replace(SMALL, kwargs=SMALL.kwargs | {"layers": [1, 1, 1, 2]})
    path = write(file, build(other), manifest, other)
    with pytest.raises(InputError, match=file):
        given(path, manifest)


def test_weights_of_quite_another_model_are_refused_with_names_of_both(manifest: Manifest) -> None:
    path = saved(timm.create_model("vit_tiny_patch16_224", num_classes=5).state_dict())
    with pytest.raises(InputError, match=r"no weights of ResNet \(expected names such as conv1\.weight, found cls"):
        given(path, manifest)


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), {"epoch": 3}, {}])
def test_a_file_without_weights_is_refused(content: object, manifest: Manifest) -> None:
    with pytest.raises(InputError, match=r"own\.pth holds no weights of ResNet"):
        given(saved(content), manifest)


@pytest.mark.parametrize("file", FORMATS)
def test_another_number_of_classes_is_refused(file: str, manifest: Manifest) -> None:
    other = replace(SMALL, classes=7)
    path = write(file, build(other), replace(manifest, classes=list("abcdefg")), other)
    with pytest.raises(InputError, match=rf"{file}.*class"):
        given(path, manifest)


def test_own_checkpoint_of_classes_with_other_names_is_refused(small: nn.Module, manifest: Manifest) -> None:
    path = write("own.safetensors", small, replace(manifest, classes=list("abcde")))
    with pytest.raises(InputError, match=r"original\.checkpoint: own\.safetensors was trained on other classes"):
        given(path, manifest)


@pytest.mark.parametrize("change", [{"mean": [0.1] * 3}, {"std": [0.1] * 3}])
def test_own_checkpoint_of_another_normalisation_is_refused(
    small: nn.Module, manifest: Manifest, change: dict[str, Any]
) -> None:
    path = write("own.safetensors", small, replace(manifest, **change))
    with pytest.raises(InputError, match=r"normalised by mean .*\[0\.1, 0\.1, 0\.1\].*set data\.mean and data\.std"):
        given(path, manifest)


def test_own_checkpoint_of_another_split_is_welcome(small: nn.Module, manifest: Manifest) -> None:
    path = write("own.safetensors", small, replace(manifest, content="other pixels"))
    assert same(given(path, manifest).model, small)


class Nested(nn.Module):
    """A model inside others, under these names."""

    def __init__(self, model: nn.Module, *names: str) -> None:
        super().__init__()
        self.add_module(names[0], Nested(model, *names[1:]) if names[1:] else model)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.compile,
        lambda model: nn.DataParallel(torch.compile(model)),
        lambda model: torch.compile(nn.DataParallel(model)),
        lambda model: Nested(model, "net"),
        lambda model: Nested(model, "module", "_orig_mod", "model"),
        lambda model: nn.Sequential(nn.Identity(), model),
        AveragedModel,
    ],
    ids=["DataParallel", "compile", "both", "compiled outside", "net", "nested", "Sequential", "AveragedModel"],
)
def test_wrappers_leave_the_weights_what_they_are(wrap: Callable, small: nn.Module, manifest: Manifest) -> None:
    path = saved(wrap(small).state_dict())
    assert "conv1.weight" not in torch.load(path)
    assert same(given(path, manifest).model, small)


def lightning(module: nn.Module) -> dict[str, Any]:
    """Return what a Lightning trainer saves of a module."""
    return {
        "epoch": 4, "global_step": 200, "pytorch-lightning_version": "2.2.1", "state_dict": module.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.9), "dirpath": "/runs"}},
        "optimizer_states": [torch.optim.AdamW(module.parameters()).state_dict()],
        "lr_schedulers": [], "hparams_name": "kwargs", "hyper_parameters": {"lr": 0.1, "out": Path("runs")},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["model", "net", "backbone"])
def test_a_lightning_checkpoint_is_taken_and_what_else_the_module_held_left_out(
    name: str, small: nn.Module, manifest: Manifest
) -> None:
    module = Nested(small, name)
    module.criterion = nn.CrossEntropyLoss(weight=torch.ones(5))
    taken = given(saved(lightning(module), "last.ckpt"), manifest)
    assert same(taken.model, small)
    assert "left out, as no part of" in taken.notes[-1]
    assert "criterion.weight" in taken.notes[-1]


def test_a_head_beside_the_backbone_of_a_lightning_module_is_found(manifest: Manifest) -> None:
    module, head = Nested(another(), "backbone"), nn.Linear(128, 5)
    module.backbone.fc = nn.Identity()
    module.classifier = head
    taken = given(saved(lightning(module), "last.ckpt"), manifest)
    assert torch.equal(taken.model.fc.weight, head.weight)
    assert torch.equal(taken.model.conv1.weight, module.backbone.conv1.weight)
    assert taken.notes == [
        "last.ckpt: weights taken from state_dict.backbone", "last.ckpt: its head classifier is taken as fc"
    ]  # fmt: skip


def timm_checkpoint(model: nn.Module, average: nn.Module | None) -> Path:
    args = argparse.Namespace(model="resnet18", lr=0.1, data_dir=Path("/data"))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sum(value.sum() for value in model.parameters()).backward()
    optimizer.step()
    saver = CheckpointSaver(model, optimizer, args, average, checkpoint_dir=".", max_history=1)
    saver.save_checkpoint(0, metric=91.5)
    return Path("last.pth.tar")


def test_a_timm_training_checkpoint_gives_the_weights_or_by_its_key_their_average(manifest: Manifest) -> None:
    model, average = another(1), ModelEmaV2(another(2))
    path = timm_checkpoint(model, average)
    raw, ema = given(path, manifest), given(path, manifest, checkpoint_key="state_dict_ema")
    assert same(raw.model, model)
    assert same(ema.model, average.module)
    assert not same(ema.model, model)
    assert raw.notes == [
        "last.pth.tar: weights taken from state_dict; original.checkpoint_key chooses another: state_dict_ema"
    ]
    assert "state_dict_ema (a running average, EMA)" in ema.notes[0]


@pytest.mark.parametrize("key", ["model_ema", "model_ema.module"])
def test_a_checkpoint_of_torchvisions_reference_scripts_gives_the_weights_or_their_average(
    key: str, manifest: Manifest
) -> None:
    model = torchvision.models.resnet18(num_classes=5)
    average = AveragedModel(model, use_buffers=True)
    with torch.no_grad():
        model.fc.weight += 1
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    path = saved(
        {
            "model": model.state_dict(),
            "model_ema": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 30).state_dict(),
            "scaler": torch.amp.GradScaler("cpu").state_dict(),
            "epoch": 3,
            "args": argparse.Namespace(model="resnet18", output_dir="."),
        },
        "checkpoint.pth",
    )
    architecture = replace(SMALL, kwargs={})
    assert same(given(path, manifest, architecture=architecture).model, model)
    assert same(given(path, manifest, checkpoint_key=key, architecture=architecture).model, average.module)


def test_an_average_alone_is_taken_and_said(small: nn.Module, manifest: Manifest) -> None:
    taken = given(saved({"epoch": 3, "model_ema": small.state_dict()}), manifest)
    assert same(taken.model, small)
    assert taken.notes == ["own.pth: weights taken from model_ema (a running average, EMA)"]


def test_an_average_beside_the_model_in_one_state_dict_is_told_apart(manifest: Manifest) -> None:
    module = Nested(another(1), "model")
    module.ema_model = another(2)
    path = saved(lightning(module), "last.ckpt")
    assert same(given(path, manifest).model, another(1))
    assert same(given(path, manifest, checkpoint_key="state_dict.ema_model").model, another(2))


def test_two_models_in_one_file_are_told_apart_by_the_key_alone(manifest: Manifest) -> None:
    path = saved({"student": another(1).state_dict(), "teacher": another(2).state_dict()})
    with pytest.raises(InputError, match=r"original\.checkpoint_key: own\.pth .* name one of student, teacher"):
        given(path, manifest)
    assert same(given(path, manifest, checkpoint_key="teacher").model, another(2))
    with pytest.raises(InputError, match=r"no weights at 'techer' \(did you mean 'teacher'\?\); it has student, teach"):
        given(path, manifest, checkpoint_key="techer")


def test_the_same_weights_twice_in_one_file_are_one_set(small: nn.Module, manifest: Manifest) -> None:
    path = saved({"net": small.state_dict(), "best": small.state_dict()})
    assert same(given(path, manifest).model, small)


def test_a_key_for_a_plain_state_dict_is_refused(small: nn.Module, manifest: Manifest) -> None:
    with pytest.raises(InputError, match=r"one set of weights without a key; leave it empty"):
        given(saved(small.state_dict()), manifest, checkpoint_key="model")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_converted_and_that_is_said(
    dtype: torch.dtype, small: nn.Module, manifest: Manifest
) -> None:
    weights = {
        key: value.to(dtype) if value.is_floating_point() else value for key, value in small.state_dict().items()
    }
    taken = given(saved(weights), manifest)
    assert {value.dtype for value in taken.model.parameters()} == {torch.float32}
    assert torch.equal(taken.model.fc.weight, weights["fc.weight"].float())
    assert taken.notes == [f"own.pth: converted from {str(dtype).removeprefix('torch.')} to float32"]


@pytest.mark.parametrize("name", ["head.fc", "classifier", "fc.1", "last_linear"])
def test_a_head_of_another_name_is_taken_and_that_is_said(name: str, small: nn.Module, manifest: Manifest) -> None:
    weights = small.state_dict()
    for part in ("weight", "bias"):
        weights[f"{name}.{part}"] = weights.pop(f"fc.{part}")
    taken = given(saved(weights), manifest)
    assert same(taken.model, small)
    assert taken.notes == [f"own.pth: its head {name} is taken as fc"]


def test_a_head_without_bias_has_a_bias_of_0(small: nn.Module, manifest: Manifest) -> None:
    weights = small.state_dict()
    del weights["fc.bias"]
    taken = given(saved(weights), manifest)
    assert torch.equal(taken.model.fc.bias, torch.zeros(5))
    assert "no bias" in taken.notes[0]


def test_a_model_without_its_head_is_refused(small: nn.Module, manifest: Manifest) -> None:
    weights = {name: value for name, value in small.state_dict().items() if not name.startswith("fc.")}
    with pytest.raises(
        InputError, match=r"^original\.checkpoint: own\.pth has no classifier \(fc\.weight\), only what"
    ):
        given(saved(weights), manifest)


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_model_is_refused(small: nn.Module, manifest: Manifest) -> None:
    quantised = torch.ao.quantization.quantize_dynamic(small)
    with pytest.raises(InputError, match=r"own\.pth holds quantised weights \(fc\.zero_point\); give the float model"):
        given(saved(quantised.state_dict()), manifest)


def test_a_head_of_two_layers_is_refused(small: nn.Module, manifest: Manifest) -> None:
    weights = small.state_dict()
    weights["fc.0.weight"], weights["fc.0.bias"] = torch.ones(128, 128), torch.ones(128)
    weights["fc.2.weight"], weights["fc.2.bias"] = weights.pop("fc.weight"), weights.pop("fc.bias")
    with pytest.raises(InputError, match=r"another architecture or class list: fc\.0\.bias has \(128,\)"):
        given(saved(weights), manifest)


def test_what_tools_leave_among_the_weights_and_what_old_pytorch_left_out_does_not_matter(
    small: nn.Module, manifest: Manifest
) -> None:
    weights = {key: value for key, value in small.state_dict().items() if "num_batches" not in key}
    weights |= {"total_ops": torch.zeros(1), "layer1.0.conv1.total_params": torch.zeros(1)}
    taken = given(saved(weights), manifest)
    assert torch.equal(taken.model.fc.weight, small.fc.weight)
    assert taken.notes == []


def without_classes(model: nn.Module, kept: list[int]) -> dict[str, Tensor]:
    """Return the weights of a classifier with the outputs of these classes alone."""
    return {key: value[kept] if key.startswith("fc.") else value for key, value in model.state_dict().items()}


def test_a_model_retrained_without_the_outputs_of_the_forgotten_classes_never_predicts_them(
    kept: Manifest, images: Tensor
) -> None:
    model = another()
    taken = given(saved(without_classes(model, [0, 2, 4])), kept)
    assert "its 3 outputs are those of all classes but those to forget, in their order" in taken.notes[0]
    with torch.no_grad():
        logits, own = taken.model.eval()(100 * images), model(100 * images)
    assert torch.equal(logits[:, [0, 2, 4]], own[:, [0, 2, 4]])
    assert set(logits.argmax(dim=1).tolist()) <= {0, 2, 4}
    assert (taken.model.fc.weight[[1, 3]] == 0).all()
    probabilities = logits.double().softmax(dim=1)[:, [1, 3]]
    assert probabilities.min() > 0
    assert probabilities.max() < 1e-8
    assert probabilities.log().isfinite().all()


def test_a_retrained_model_with_all_outputs_is_taken_as_it_is(kept: Manifest, small: nn.Module) -> None:
    taken = given(saved(small.state_dict()), kept)
    assert same(taken.model, small)
    assert taken.notes == []


def test_a_retrained_model_of_neither_class_list_is_refused(kept: Manifest, small: nn.Module) -> None:
    with pytest.raises(InputError, match=r"has 4 outputs, the data 5 classes \(3 without those to forget\)"):
        given(saved(without_classes(small, [0, 1, 2, 4])), kept)


@pytest.mark.parametrize(("forget", "held"), [([], [0, 2, 3, 4]), ([3], [0, 2, 3, 4]), ([3], [0, 2, 4])])
def test_in_a_second_request_a_model_may_lack_outputs_of_what_was_erased_before_or_of_all(
    manifest: Manifest, small: nn.Module, forget: list[int], held: list[int]
) -> None:
    second = replace(manifest, forget_classes=forget, erased_before=[1])
    taken = given(saved(without_classes(small, held)), second)
    assert torch.equal(taken.model.fc.weight[held], small.fc.weight[held])
    gone = [label for label in range(5) if label not in held]
    assert (taken.model.fc.weight[gone] == 0).all()
    assert f"its {len(held)} outputs are those of all classes but those erased before" in taken.notes[0]


def test_in_a_second_request_a_model_of_no_such_class_list_is_refused(manifest: Manifest, small: nn.Module) -> None:
    second = replace(manifest, forget_classes=[3], erased_before=[1])
    said = (
        r"2 outputs, the data 5 classes \(3 without those erased before or to forget, 4 without those erased before\)"
    )
    with pytest.raises(InputError, match=said):
        given(saved(without_classes(small, [0, 2])), second)


def test_an_original_without_outputs_for_some_classes_is_refused_with_the_reason(
    manifest: Manifest, small: nn.Module
) -> None:
    with pytest.raises(InputError, match=r"has 3 outputs, the data 5 classes; the original has to know each class"):
        given(saved(without_classes(small, [0, 2, 4])), manifest)


def test_an_original_with_more_outputs_is_refused(manifest: Manifest) -> None:
    path = saved(build(replace(SMALL, classes=1000)).state_dict())
    with pytest.raises(InputError, match=r"has 1000 outputs, the data 5 classes; .*model\.pretrained"):
        given(path, manifest)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("layer2.0.conv1.weight", lambda value: value.index_fill(0, torch.tensor(3), torch.nan), r"NaN or infinity"),
        (
            "fc.bias",
            lambda value: value.index_fill(0, torch.tensor(3), -torch.inf),
            r"NaN or infinity \(1 of 5 values\)",
        ),
        ("bn1.running_mean", lambda value: value * torch.nan, r"NaN or infinity"),
        ("fc.weight", lambda value: value.double() * 1e300, r"NaN or infinity"),
        ("conv1.weight", lambda value: value.to(torch.int8), r"of type torch\.int8, not of real numbers"),
        ("conv1.weight", lambda value: value > 0, r"of type torch\.bool"),
        ("fc.weight", lambda value: value.to(torch.complex64), r"of type torch\.complex64"),
        ("fc.weight", lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), r"of type torch\.qint8"),
        ("fc.weight", lambda value: value.bool(), r"of type torch\.bool"),
        ("fc.weight", lambda value: value.fill_(1e38), r"holds weights up to 1e\+38"),
        ("fc.bias", lambda value: value.fill_(-1e30), r"holds weights up to 1e\+30"),
        ("layer1.0.bn1.running_var", lambda value: value - 100, r"negative variance"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_finite_real_numbers_are_refused_by_name(
    name: str, spoil: Callable[[Tensor], Tensor], message: str, small: nn.Module, manifest: Manifest
) -> None:
    weights = small.state_dict()
    weights[name] = spoil(weights[name])
    with pytest.raises(InputError, match=rf"own\.pth: {name} .*{message}"):
        given(saved(weights), manifest)
