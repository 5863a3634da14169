"""The six architectures, and a trained model under attack."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.architectures import backbone  # noqa: F401 - a fixture is used by its name
from tests.conftest import RECIPE, SHAPE, weights_of
from tests.engine.test_run import plain
from tests.evaluation.victims import attacks, victim_of
from unlearning.data.manifest import Manifest
from unlearning.engine.run import Run
from unlearning.evaluation.attacks import Target
from unlearning.models.backbone import build, classifier_of
from unlearning.params import Recipe


@pytest.fixture(scope="session")
def known() -> dict[str, Tensor]:
    """Hold the trained weights for all tests: the small world is the same in each."""
    return {}


@pytest.fixture
def trained(make_run: Callable[..., Run], known: dict[str, Tensor]) -> nn.Module:
    """Return a model that knows all classes of the small world, in eval mode."""
    if not known:
        run = make_run(folder="trained")
        run.drive(plain(run, Recipe(**{**RECIPE, "epochs": 12})))
        assert run.forget_acc() > 90
        known.update(weights_of(run.model))
    model = build(SHAPE)
    model.load_state_dict(known)
    return model.eval()


@pytest.fixture
def victim(world: Manifest, trained: nn.Module) -> Target:
    return victim_of(trained, world, attacks())


@pytest.fixture
def zeroed(world: Manifest) -> Callable[[nn.Module], nn.Module]:
    """Return a function that copies a model and sets its head's rows of the forgotten classes to never answer."""

    def zero(model: nn.Module) -> nn.Module:
        other = copy.deepcopy(model)
        head = classifier_of(other)
        with torch.no_grad():
            head.weight[world.forget_classes] = 0.0
            head.bias[world.forget_classes] = -100.0
        return other

    return zero
