import argparse
import datetime
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from unlearning.errors import InputError, run_stage
from unlearning.models.weight_file import read_content


@pytest.fixture(autouse=True)
def _in_an_empty_folder(folder: Path) -> None:
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.squeezenet1_1(num_classes=5)


def refusal(path: str) -> str:
    with pytest.raises(InputError) as caught:
        read_content(Path(path))
    message = str(caught.value)
    assert message.startswith(path)
    assert "\n" not in message
    return message


def test_what_training_scripts_save_beside_weights_is_read() -> None:
    extras: dict[str, Any] = {
        "args": argparse.Namespace(lr=0.1, out=Path("/runs/1"), windows=PureWindowsPath("c:/runs")),
        "accuracy": np.float64(91.5),
        "epoch": np.int64(3),
        "best": np.bool_(True),
        "curve": np.arange(3.0),
        "names": np.array([1, 2], dtype=np.uint8),
        "history": defaultdict(list, {"loss": [1.0, 0.5]}),
        "order": OrderedDict(a=1),
        "when": datetime.datetime(2024, 5, 6, tzinfo=datetime.timezone.utc),
        "classes": np.array(["cat", "dog"]),
        "days": np.array(["2024-05-06"], dtype="datetime64[D]"),
        "shapes": np.array([(1, 2), None], dtype=object),
        "last losses": deque([0.5, 0.25], maxlen=2),
        "seen": {1, 2},
        "counts": Counter("aab"),
    }
    torch.save({"state_dict": {"weight": torch.ones(2)}, **extras}, "last.pt")
    content = read_content(Path("last.pt"))
    assert torch.equal(content["state_dict"]["weight"], torch.ones(2))
    assert (content["accuracy"], content["epoch"], content["best"]) == (91.5, 3, True)
    assert content["curve"].tolist() == [0, 1, 2]
    assert (content["history"], content["args"].lr) == ({"loss": [1.0, 0.5]}, 0.1)
    assert (content["when"], content["classes"].tolist()) == (extras["when"], ["cat", "dog"])
    assert (content["last losses"], content["seen"], content["counts"]["a"]) == ([0.5, 0.25], {1, 2}, 2)


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors", ""])
@pytest.mark.parametrize("form", ["zip", "before 1.6", "safetensors"])
def test_the_format_is_told_by_the_content_not_by_the_name(suffix: str, form: str) -> None:
    weights, path = {"weight": torch.randn(3, 2)}, Path(f"own{suffix}")
    if form == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=form == "zip")
    assert torch.equal(read_content(path)["weight"], weights["weight"])


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel, lambda model: {"epoch": 3, "model": model}])
@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
def test_a_whole_pickled_model_is_refused_with_the_line_that_saves_its_weights(
    network: nn.Module, wrap: Any, how: dict[str, Any]
) -> None:
    torch.save(wrap(network), "whole model.pth", **how)
    assert "holds a whole pickled model" in refusal("whole model.pth")


@pytest.mark.parametrize("key", [None, "net"])
def test_the_line_that_saves_the_weights_of_a_whole_model_works(network: nn.Module, key: str | None) -> None:
    torch.save(network if key is None else {"epoch": 3, key: network}, "whole model.pth")
    line = refusal("whole model.pth").partition('python -c "')[2].partition('"')[0]
    exec(line, {})
    content = read_content(Path("whole model_weights.pt"))
    saved = content if key is None else content[key]
    assert saved.keys() == network.state_dict().keys()
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_archive_is_refused_with_the_line_that_saves_its_weights(network: nn.Module) -> None:
    torch.jit.trace(network.eval(), torch.zeros(1, 3, 64, 64)).save("scripted.pt")
    message = refusal("scripted.pt")
    assert "is a TorchScript archive" in message
    exec(message.split('"')[1], {})
    assert read_content(Path("scripted_weights.pt")).keys() == network.state_dict().keys()


def test_another_class_in_the_file_is_named_with_the_line_that_saves_the_weights_beside_it() -> None:
    weights = {"weight": torch.ones(2), "bias": torch.zeros(1)}
    beside = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(())}}}, "sampler": torch.Generator}
    Path("run (F1)").mkdir()
    torch.save({"state_dict": weights, **beside, "best": torch.ones(1)}, "run (F1)/last.ckpt")
    message = refusal("run (F1)/last.ckpt")
    assert "it holds torch._C.Generator, which only running code could read" in message
    exec(message.split('"')[1], {})
    saved = read_content(Path("run (F1)/last_weights.pt"))
    assert list(saved) == ["state_dict", "best"]
    assert all(torch.equal(saved["state_dict"][name], value) for name, value in weights.items())


def test_a_line_to_run_is_not_cut_however_long_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("/".join(["deep" * 12] * 4))
    folder.mkdir(parents=True)
    torch.save({"weight": torch.ones(2), "sampler": torch.Generator}, folder / "last.ckpt")
    with pytest.raises(SystemExit):
        run_stage(lambda: read_content(folder / "last.ckpt"))
    exec(capsys.readouterr().err.split('"')[1], {})
    assert list(read_content(folder / "last_weights.pt")) == ["weight"]


def test_plain_weights_in_another_pickle_protocol_are_saved_again_by_the_line() -> None:
    torch.save({"weight": torch.ones(2)}, "new.pt", pickle_protocol=4)
    message = refusal("new.pt")
    assert "was saved in a pickle protocol that can hide code" in message
    exec(message.split('"')[1], {})
    assert torch.equal(read_content(Path("new_weights.pt"))["weight"], torch.ones(2))


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.target, "w")


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
def test_pickle_that_runs_code_is_refused_and_not_executed(how: dict[str, Any]) -> None:
    torch.save({"weight": torch.ones(2), "more": Malicious("executed")}, "malicious.pth", **how)
    assert refusal("malicious.pth")
    assert not Path("executed").exists()
    torch.load("malicious.pth", weights_only=False)["more"].close()
    assert Path("executed").exists()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 46830571\n"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"\0" * 5000, "is empty"),
        (POINTER, "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning", "is a web page"),
        (b"<html><body>404</body></html>", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is XML"),
        (b'{"weight_map": {}}', "is JSON text"),
        (b"\x1f\x8b\x08\0", "is compressed by gzip"),
        (b"this is no checkpoint", "cannot be read as a checkpoint"),
        (pickle.dumps([1, 2], 2), "cannot be read as a checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_of_another_kind_is_named(name: str, content: bytes, cause: str) -> None:
    Path(name).write_bytes(content)
    assert cause in refusal(name)


@pytest.mark.parametrize("form", ["zip", "before 1.6", "safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_half_a_download_is_named(network: nn.Module, form: str, share: float) -> None:
    path = Path("half.bin")
    if form == "safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is a download that broke off" in refusal("half.bin")
