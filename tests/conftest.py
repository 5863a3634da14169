"""A world small enough for a test: twelve-pixel images of six classes, of which two are to be forgotten."""

import copy
import importlib
import resource
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from tests.chaos import Ended, tried, write_tally
from tests.warm import warm_commands
from unlearning.data.batches import load_pixels, save_pixels
from unlearning.data.manifest import Manifest, Split, save_manifest
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.params import Augment

CLASSES, SIZE = 6, 8
SHAPE = Architecture("resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 16]}, 1, CLASSES, 1, SIZE)
NO_AUGMENT = Augment(padding=0, min_area=1.0, flip=0.0, jitter=0.0, grayscale=0.0)
RECIPE = {
    "epochs": 2,
    "batch_size": 8,
    "optimizer": "sgd",
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "schedule": "cosine",
    "milestones": [],
    "decay": 0.1,
    "warmup": 0.0,
    "clip_norm": None,
    "augment": NO_AUGMENT.model_copy(update={"jitter": 0.2}),
}
UNLEARN_RECIPE = {**RECIPE, "stop_at_forget_acc": None}


DROPPED = object()


def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of nested values with those at dotted keys replaced; DROPPED takes a key out."""
    new = copy.deepcopy(values)
    for key, value in changes.items():
        *blocks, last = key.split(".")
        block = new
        for name in blocks:
            block = block[name]
        if value is DROPPED:
            del block[last]
        else:
            block[last] = value
    return new


PARAMS = Path(__file__).parents[1] / "params.yaml"


@cache
def _values() -> dict[str, Any]:
    return yaml.safe_load(PARAMS.read_text(encoding="utf-8"))


def values_of_params() -> dict[str, Any]:
    """Return what params.yaml holds, for the caller to change; reading it takes a tenth of a second."""
    return copy.deepcopy(_values())


SLOWEST = [
    "test_pipeline.py", "test_every_method.py", "test_distributed.py", "test_search.py", "test_imports.py",
    "test_run.py", "test_controls.py", "test_tail.py",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that neither of two processes is alone in the end."""
    place = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(SLOWEST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test of bad luck that failed as a try that ended otherwise."""
    report = yield
    if report.failed and item.get_closest_marker("chaos"):
        tried(f"`{item.nodeid}`", Ended.ELSE)
    return report


def pytest_sessionfinish() -> None:
    write_tally()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Serve commands that start with torch loaded; return their folder."""
    with warm_commands(tmp_path_factory.mktemp("warm")) as commands:
        yield commands


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Write a split into an empty folder, go there, and return its manifest; classes differ in brightness by row."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    splits = {}
    for name, per_class in (("train", 16), ("validation", 3), ("test", 4)):
        labels = random.permutation(np.repeat(np.arange(CLASSES), per_class))
        pixels = random.integers(0, 120, (len(labels), 1, SIZE, SIZE))
        pixels[np.arange(len(labels)), 0, labels] += 130
        save_pixels(name, torch.from_numpy(pixels.astype(np.uint8)))
        splits[name] = Split([f"{name}{i}" for i in range(len(labels))], labels)
    names = [f"class{label}" for label in range(CLASSES)]
    manifest = Manifest("test", names, SIZE, 1, [0.3], [0.3], None, "content", splits, forget_classes=[1, 4])
    save_manifest(manifest)
    return manifest


def run_of(
    name: str,
    manifest: Manifest,
    model: nn.Module,
    modules: nn.ModuleDict | None = None,
    folder: str = "scratch",
    seed: int = 0,
) -> Run:
    """Return a run on a manifest; a fresh model is another of the small shape."""
    resume, fresh = ResumeState(Path(folder)), partial(build, SHAPE)
    return Run(name, launch("fp32"), manifest, model, seed, resume, modules, fresh=fresh)


@pytest.fixture
def make_run(world: Manifest) -> Callable[..., Run]:
    """Return a function that makes a run with a fresh small network; equal arguments make equal runs."""

    def make(name: str = "test", modules: nn.ModuleDict | None = None, folder: str = "scratch", seed: int = 0) -> Run:
        torch.manual_seed(seed)
        return run_of(name, world, build(SHAPE), modules, folder, seed)

    return make


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that replaces the first occurrence of a text in a copy of params.yaml."""
    original = PARAMS.read_text(encoding="utf-8")

    def write(old: str, new: str) -> Path:
        assert old in original
        path = tmp_path / "params.yaml"
        path.write_text(original.replace(old, new, 1), encoding="utf-8")
        return path

    return write


def without_forget_images(world: Manifest, *splits: str) -> Manifest:
    """Return the manifest without images of the classes to forget in some splits, and write the pixels that stay."""
    left = dict(world.splits)
    for name in splits:
        kept = world.select(name, "retain")
        save_pixels(name, load_pixels(name)[torch.from_numpy(kept)].clone())
        left[name] = Split([left[name].ids[i] for i in kept], left[name].labels[kept])
    return replace(world, splits=left)


def config_of(method: str, **changes: object) -> Any:
    """Return a method's parameters as in params.yaml, but for a recipe that suits the small world, and `changes`."""
    own = values_of_params()[method]
    bounds = {key: own[key] for key in ("clip_norm", "stop_at_forget_acc")}
    recipe = {**RECIPE, "optimizer": own["optimizer"], "weight_decay": own["weight_decay"], **bounds}
    config = importlib.import_module(f"unlearning.methods.{method}").Config
    return config(**{**own, **recipe, **changes})


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of all parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}
