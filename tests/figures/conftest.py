"""What figures are drawn of: a manifest of six classes whose test pixels name their position."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest, Split

TEST_IMAGES = 48


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Write the test pixels into an empty folder, go there, and return the manifest; classes 1 and 4 are forgotten."""
    monkeypatch.chdir(tmp_path)
    labels = np.arange(TEST_IMAGES) % 6
    save_pixels("test", torch.arange(TEST_IMAGES, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8))
    names = ["ant", "bee", "cat", "dog", "elk", "fox"]
    splits = {"test": Split([str(number) for number in range(TEST_IMAGES)], labels)}
    return Manifest("test", names, 8, 1, [0.0], [1.0], None, "content", splits, forget_classes=[1, 4])
