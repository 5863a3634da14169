import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.architectures import SMALL
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.backbone import Architecture, build
from unlearning.models.checkpoint import Checkpoint, new_header, save_checkpoint
from unlearning.models.ec_modules import ec_modules
from unlearning.models.given import load_given

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


def given(path: Path | str, manifest: Manifest, sha256: str | None = None) -> tuple[nn.Module, str]:
    return load_given(Path(path), sha256, "original", SMALL, manifest)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(folder: Path) -> None:
    assert not list(folder.iterdir())


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_gives_the_users_model_and_the_files_hash(
    file: str, small: nn.Module, manifest: Manifest, images: Tensor
) -> None:
    path = write(file, small, manifest)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    model, digest = given(path, manifest, expected)
    assert digest == expected
    assert all(torch.equal(value, small.state_dict()[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model.eval()(images), small(images))


def test_hash_may_be_left_out(small: nn.Module, manifest: Manifest) -> None:
    path = write("plain.pth", small, manifest)
    assert given(path, manifest)[1] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_of_another_hash_is_refused_with_both(small: nn.Module, manifest: Manifest) -> None:
    path = write("plain.pth", small, manifest)
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=rf"original\.sha256: plain\.pth has SHA-256 {actual}, expected {'0' * 64}"):
        given(path, manifest, "0" * 64)


@pytest.mark.parametrize("path", ["nowhere.pth", "", "."])
def test_missing_file_is_named_with_its_key(path: str, manifest: Manifest) -> None:
    with pytest.raises(InputError, match=rf"original\.checkpoint: no file {path}"):
        given(path, manifest)


@pytest.mark.parametrize("file", FORMATS)
def test_another_architecture_is_refused(file: str, manifest: Manifest) -> None:
    other = replace(SMALL, kwargs=SMALL.kwargs | {"layers": [1, 1, 1, 2]})
    path = write(file, build(other), manifest, other)
    with pytest.raises(InputError, match=file):
        given(path, manifest)


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
    assert torch.equal(given(path, manifest)[0].fc.weight, small.fc.weight)


@pytest.mark.parametrize("file", ["own.safetensors", "plain.safetensors", "plain.pth"])
def test_truncated_file_is_named(file: str, small: nn.Module, manifest: Manifest) -> None:
    path = write(file, small, manifest)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=rf"{file} cannot be read as a checkpoint"):
        given(path, manifest)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.target, "w")


@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_that_runs_code_is_refused_and_not_executed(small: nn.Module, manifest: Manifest, legacy: bool) -> None:
    state = {**small.state_dict(), "more": Malicious("executed")}
    torch.save(state, "malicious.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match=r"malicious\.pth cannot be read as a checkpoint"):
        given("malicious.pth", manifest)
    assert not Path("executed").exists()
    torch.load("malicious.pth", weights_only=False)["more"].close()
    assert Path("executed").exists()
