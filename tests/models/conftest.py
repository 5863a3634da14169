"""The six architectures, and a small network with its manifest."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.architectures import CLASSES, SMALL, backbone, enliven  # noqa: F401 - a fixture is used by its name
from unlearning.data.manifest import Manifest, Split
from unlearning.models.backbone import build


@pytest.fixture
def small() -> nn.Module:
    """Return a fresh small network that a test may change."""
    torch.manual_seed(0)
    return enliven(build(SMALL))


@pytest.fixture
def manifest() -> Manifest:
    """Return the manifest of a data set of five classes that fits `SMALL`."""
    splits = {name: Split([f"{name}{i}" for i in range(5)], np.arange(5)) for name in ("train", "validation", "test")}
    return Manifest("toy", CLASSES, 64, 3, [0.5] * 3, [0.25] * 3, None, "content", splits, forget_classes=[1])


@pytest.fixture
def images() -> Tensor:
    """Return five images."""
    return torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
