from pathlib import Path

import pytest

from tests.conftest import PARAMS, SHAPE
from unlearning.counts import Counts
from unlearning.engine.launch import launch
from unlearning.estimating.trainings import Subject, forward_flops
from unlearning.params import Params, Start
from unlearning.params_file import load_params

COUNTS = Counts(forget=40, retain=200, judging=60)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Go to a folder with the repository's parameters, for one seed and one method."""
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    monkeypatch.chdir(tmp_path)
    one = {"seeds": [0], "precision": "fp32", "methods": {"finetune": Start(start="original")}}
    return load_params().model_copy(update=one)


@pytest.fixture
def subject() -> Subject:
    return Subject(SHAPE, forward_flops(SHAPE), COUNTS, 2, launch("fp32"))
