"""Which methods can forget samples whose classes are kept, and that they do."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import SHAPE, config_of
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.methods import forgets_samples, method_program, refuse_classes_alone
from unlearning.methods.families.random_labels import label_space
from unlearning.models.backbone import build
from unlearning.params import known_methods

SAMPLES = tuple(range(0, 96, 6))


@pytest.mark.parametrize("method", [name for name in known_methods() if forgets_samples(name)])
def test_a_method_for_samples_sees_them_and_none_of_them_as_retained(world: Manifest, method: str) -> None:
    manifest = replace(world, forget_classes=[], forget_samples=SAMPLES)
    torch.manual_seed(0)
    run = Run(method, launch("fp32"), manifest, build(SHAPE), 0, ResumeState(Path("scratch")))
    seen: dict[str, set[int]] = {"forget": set(), "retain": set(), "all": set()}
    count = run.count  # raises where a retained batch holds one to forget
    run.count = lambda batch, part: (seen[part].update(batch.positions.tolist()), count(batch, part))
    before = build(SHAPE).state_dict()
    run.drive(method_program(method)(run, config_of(method)))
    assert not seen["retain"] & set(SAMPLES)
    assert seen["forget"] <= set(SAMPLES)
    assert seen["forget"] or method == "finetune"
    assert any(not torch.equal(value, before[name]) for name, value in run.model.state_dict().items())


def test_labels_of_samples_are_drawn_from_all_classes_but_their_own(world: Manifest) -> None:
    manifest = replace(world, forget_classes=[], forget_samples=SAMPLES)
    run = Run("rl", launch("fp32"), manifest, build(SHAPE), 0, ResumeState(Path("scratch")))
    assert label_space(run, config_of("rl")).tolist() == list(range(6))


def test_methods_for_whole_classes_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="methods: pl, ec erase whole classes only.*; there are cu, delete"):
        refuse_classes_alone(["finetune", "pl", "ec"])
    refuse_classes_alone(["finetune", "scrub"])
