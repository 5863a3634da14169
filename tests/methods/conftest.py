"""What the tests of several methods share: models that know the small world, and which batches a program visits."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tests.conftest import UNLEARN_RECIPE, weights_of
from tests.engine.test_run import plain
from unlearning.data.batches import Batch
from unlearning.engine.run import Run
from unlearning.models.ec_modules import ec_modules
from unlearning.params import UnlearnRecipe

Visit = tuple[int, str, list[int]]  # epoch from 1, part, positions


@pytest.fixture(scope="session")
def kept() -> dict[str, Tensor]:
    """Hold the trained weights for all tests: the small world is the same in each."""
    return {}


@pytest.fixture
def trained(make_run: Callable[..., Run], kept: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a model that knows all classes, those to be forgotten too."""
    if not kept:
        run = make_run(folder="trained")
        run.drive(plain(run, UnlearnRecipe(**{**UNLEARN_RECIPE, "epochs": 10, "batch_size": 16, "lr": 0.1})))
        assert run.forget_acc() > 90
        assert run.progress.rows[-1]["validation_retain_acc"] > 90
        kept.update(weights_of(run.model))
    return kept


@pytest.fixture
def trained_run(make_run: Callable[..., Run], trained: dict[str, Tensor]) -> Callable[..., Run]:
    """Return a function that makes a run of a trained model, with EC modules; equal arguments make equal runs."""

    def make(**options: object) -> Run:
        run = make_run(**options)
        run.model.load_state_dict(trained)
        torch.manual_seed(1)
        run.modules = ec_modules(run.model)
        return run

    return make


def visits(run: Run, program: Iterator[Tensor]) -> list[Visit]:
    """Drive a program; return every batch it counted, in order."""
    seen: list[Visit] = []
    whole = run.count

    def count(batch: Batch, part: str) -> None:
        seen.append((len(run.progress.rows) + 1, part, batch.positions.tolist()))
        whole(batch, part)

    run.count = count
    run.drive(program)
    return seen
