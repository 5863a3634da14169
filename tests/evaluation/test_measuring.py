from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SHAPE
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import launch
from unlearning.evaluation import measuring
from unlearning.evaluation.measuring import PARTS, Subject, measure, rows_of_layers
from unlearning.evaluation.shared import Shared
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.models.backbone import build
from unlearning.params import Params
from unlearning.params_file import load_params

REPOSITORY = Path(__file__).parents[2]
SAMPLES = (3, 20, 33, 50, 61, 75)


@pytest.fixture
def params() -> Params:
    """Return the repository's parameters, but for probes of layers on fewer images than are kept."""
    params = load_params(REPOSITORY / "params.yaml")
    probe = params.linear_probe.model_copy(update={"layer_samples": 30})
    evaluate = params.evaluate.model_copy(update={"max_samples": 80})
    return params.model_copy(update={"precision": "fp32", "linear_probe": probe, "evaluate": evaluate})


def found(manifest: Manifest, params: Params) -> tuple[dict, Shared]:
    torch.manual_seed(0)
    model, where = build(SHAPE), launch("fp32")
    watch = Stopwatch(where, PARTS)
    with watch.round("test"):
        both = measure(Subject("ec", 0, model, model), manifest, params, where, watch)
    assert both is not None
    return both


@pytest.mark.parametrize("of_samples", [False, True])
def test_features_of_layers_are_kept_for_no_more_images_than_are_asked_for_and_change_nothing(
    world: Manifest, params: Params, of_samples: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = replace(world, forget_classes=[], forget_samples=SAMPLES) if of_samples else world
    rows = rows_of_layers(manifest, np.arange(80), params)
    assert len(rows) in (range(31, 37) if of_samples else [30])
    few = found(manifest, params)
    monkeypatch.setattr(measuring, "rows_of_layers", lambda _, kept, __: np.arange(len(kept)))
    all_of_them = found(manifest, params)
    assert few[0] == all_of_them[0]
    for name, tensor in few[1].layers.items():
        assert torch.equal(tensor, all_of_them[1].layers[name])
