from pathlib import Path

import pytest

from tests.page.build import manifest_of
from unlearning.data.manifest import Manifest


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Go to an empty folder and return a manifest of six classes there; 1 and 4 are erased."""
    monkeypatch.chdir(tmp_path)
    return manifest_of(["ant", "bee", "cat", "dog", "elk", "fox"], [1, 4])
