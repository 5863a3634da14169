import hashlib
import pickle
import shutil
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from unlearning.errors import InputError
from unlearning.params import Data
from unlearning.sources import Source, load_source

KINDS = {"cifar10": CIFAR10, "cifar100": CIFAR100}
CLASSES = {"cifar10": 10, "cifar100": 100}
PER_FILE = 12
Contents = dict[str, np.ndarray]


def pickled(path: Path, value: object) -> str:
    """Write a pickle as the data sets have it and return its MD5 sum."""
    path.write_bytes(pickle.dumps(value, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def written(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Contents:
    """Write a small data set in the layout of the real one; returns pixels and labels by file."""
    kind = KINDS[name]
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    contents: Contents = {}

    def write(file: str) -> list[str]:
        pixels = random.integers(0, 256, (PER_FILE, 3072), dtype=np.uint8)
        labels = random.integers(0, CLASSES[name], PER_FILE)
        contents[file], contents[f"{file}/labels"] = pixels, labels
        keys = {"labels": labels.tolist()}
        if name == "cifar100":
            keys = {"fine_labels": labels.tolist(), "coarse_labels": (labels // 5).tolist()}
        files = [f"{file}_{number}.png" for number in range(PER_FILE)]
        return [file, pickled(folder / file, {"batch_label": file, "data": pixels, "filenames": files, **keys})]

    monkeypatch.setattr(kind, "train_list", [write(file) for file, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [write(file) for file, _ in kind.test_list])
    names = [f"class {label}" for label in range(CLASSES[name])]
    md5 = pickled(folder / kind.meta["filename"], {kind.meta["key"]: names, "coarse_label_names": ["thing"]})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5})
    return contents


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cut the network; returns the addresses that were asked for."""
    asked: list[str] = []

    def fail(request: urllib.request.Request, *_: object, **__: object) -> NoReturn:
        asked.append(request.full_url)
        raise URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    return asked


@pytest.fixture
def load(name: str, root: Path, make_data: Callable[..., Data]) -> Callable[[], Source]:
    return lambda: load_source(make_data(name=name, root=str(root), image_size=32))


def test_files_of_the_real_layout_are_read_without_network(
    name: str, written: Contents, offline: list[str], load: Callable[[], Source]
) -> None:
    source = load()
    for samples, files in ((source.train, KINDS[name].train_list), (source.test, KINDS[name].test_list)):
        pixels = np.concatenate([written[file].reshape(-1, 3, 32, 32) for file, _ in files])
        assert samples.pixels.dtype == torch.uint8
        assert np.array_equal(samples.pixels.numpy(), pixels)
        assert samples.labels.dtype == np.int64
        assert np.array_equal(samples.labels, np.concatenate([written[f"{file}/labels"] for file, _ in files]))
        assert len(set(samples.ids)) == len(samples.ids) == len(pixels)
    assert source.classes == [f"class {label}" for label in range(CLASSES[name])]
    assert offline == []


def test_without_files_and_network_the_error_says_which_file_to_put_where(
    name: str, root: Path, offline: list[str], load: Callable[[], Source]
) -> None:
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"{KINDS[name].__name__} is not in {root} (data.root) and could not be downloaded")
    assert "Name or service not known" in message
    assert message.endswith(f"put the file {KINDS[name].filename} into {root} and run again")
    assert offline


@pytest.mark.usefixtures("written", "offline")
def test_a_corrupt_file_counts_as_missing(name: str, root: Path, load: Callable[[], Source]) -> None:
    (root / KINDS[name].base_folder / KINDS[name].test_list[0][0]).write_bytes(b"half a file")
    with pytest.raises(InputError, match=f"put the file {KINDS[name].filename} into {root}"):
        load()


def test_the_file_put_there_as_told_is_unpacked_and_read(
    name: str,
    root: Path,
    written: Contents,
    offline: list[str],
    load: Callable[[], Source],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = KINDS[name]
    archive = root / kind.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / kind.base_folder, kind.base_folder)
    shutil.rmtree(root / kind.base_folder)
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    expected = written[kind.test_list[0][0]].reshape(-1, 3, 32, 32)
    assert np.array_equal(load().test.pixels.numpy(), expected)
    assert offline == []
