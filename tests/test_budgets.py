"""What a run would need is reckoned before it starts."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.conftest import SHAPE, changed, values_of_params
from unlearning.budgets import counts_of, measured, sizes_of
from unlearning.counts import Counts
from unlearning.data.manifest import Manifest
from unlearning.errors import InputError
from unlearning.models.backbone import build, parameter_count


def test_the_sizes_of_a_network_are_those_of_its_parts() -> None:
    with torch.device("meta"):
        model = build(SHAPE).eval()
    sizes = sizes_of(model, SHAPE.channels, SHAPE.image_size)
    assert sizes.weights == parameter_count(build(SHAPE))
    assert sizes.layers == 8 + 8 + 8 + 16
    assert sizes.last == 16 + SHAPE.classes
    assert sizes.outputs > 8 * 8 * 8 * 3


def test_a_network_that_cannot_be_built_has_no_sizes() -> None:
    assert measured(lambda: build(SHAPE), 99, 8) is None


def test_the_images_are_counted(world: Manifest) -> None:
    assert counts_of(world) == Counts(forget=32, retain=64, judging=42)


def files() -> dict[Path, int]:
    """Return the files below this folder, with their times of change."""
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        (["train.py", "original"], {"budget.steps": 3}, "train: 20 steps (20 epochs, 96 images, 64 a batch) are more"),
        (["pretrain_ec.py"], {"budget.steps": 3}, "pretrain_ec: 10 steps (10 epochs, 96 images, 256 a batch)"),
        (
            ["unlearn.py", "ec"],
            {"budget.steps": 3, "ec.epochs": 7},
            "ec: 28 steps (7 epochs, 96 images, 64 a batch) are more than",
        ),
        (["evaluate.py", "ec"], {"budget.steps": 3}, "relearn: 5 draws x 3 shots x 2 lrs x 5 = 150 steps"),
        (["train.py", "original"], {"budget.memory_gb": 0.0001}, "train.batch_size: 2 x 64 images x "),
        (
            ["evaluate.py", "ec"],
            {"budget.memory_gb": 0.0001},
            "evaluate.max_samples: 138 images x 134 features and 138 x 240 of layers",
        ),
        (["shadow.py", "0"], {"budget.steps": 3}, "train: 20 steps"),
    ],
)
def test_a_stage_that_would_need_more_than_its_budget_does_not_start(
    monkeypatch: pytest.MonkeyPatch, stage: list[str], changes: dict[str, Any], said: str
) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(changed(values_of_params(), changes)))
    script = Path(__file__).parents[1] / "stages" / stage[0]
    monkeypatch.setattr(sys, "argv", [str(script), *stage[1:]])
    main = runpy.run_path(str(script), run_name="stage")["main"]
    before = files()
    with pytest.raises(InputError) as caught:
        main()
    assert str(caught.value).startswith(f"params.yaml: {said}")
    assert len(str(caught.value)) <= 200
    assert "or raise that" in str(caught.value)
    assert files() == before
