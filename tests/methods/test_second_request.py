"""What methods do where a class was erased before: there is no image of it, and no image is given to it."""

from dataclasses import replace

import pytest
import torch

from tests.conftest import SHAPE, config_of, run_of
from unlearning.data.manifest import Manifest
from unlearning.engine.run import Run
from unlearning.methods import method_program
from unlearning.methods.families.random_labels import label_space
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import known_methods

BEFORE = 2


@pytest.fixture
def second(world: Manifest) -> Manifest:
    """Return the small world without the images of a class erased before; 1 and 4 are to be forgotten."""
    return replace(world.without([BEFORE]), erased_before=[BEFORE])


def seeded(method: str, manifest: Manifest) -> Run:
    torch.manual_seed(0)
    model = build(SHAPE)
    return run_of(method, manifest, model, ec_modules(model))


@pytest.mark.parametrize("method", known_methods())
def test_every_method_runs_without_the_images_of_a_class(second: Manifest, method: str) -> None:
    run = seeded(method, second)
    seen: set[int] = set()
    count = run.count
    run.count = lambda batch, part: (seen.update(batch.labels.tolist()), count(batch, part))
    run.drive(method_program(method)(run, config_of(method, epochs=1)))
    assert seen
    assert BEFORE not in seen
    assert all(value.isfinite().all() for value in run.model.state_dict().values())


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("delete", {"mask": "own_label"}),
        ("delete", {"mask": "all_forget"}),
        ("pl", {}),
        ("head_distill", {}),
    ],
)
def test_an_original_that_would_name_the_class_does_not_teach_it(second: Manifest, method: str, changes: dict) -> None:
    run = seeded(method, second)
    with torch.no_grad():
        run.model.fc.bias[BEFORE] += 10
    next(method_program(method)(run, config_of(method, **changes))).backward()
    assert run.model.fc.bias.grad is not None
    assert run.model.fc.bias.grad[BEFORE] > 0  # a step of descent lowers the class's logit


@pytest.mark.parametrize(("space", "classes"), [("all", [0, 1, 3, 4, 5]), ("retain", [0, 3, 5])])
def test_no_random_label_is_the_class(second: Manifest, space: str, classes: list[int]) -> None:
    assert label_space(seeded("rl", second), config_of("rl", label_space=space)).tolist() == classes
