import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.conftest import config_of, weights_of
from unlearning.engine.run import Run
from unlearning.engine.validation import accuracy
from unlearning.methods import fresh_head

MakeRun = Callable[..., Run]


def test_first_loss_is_that_of_uniform_answers_to_retained_images(make_run: MakeRun) -> None:
    run = make_run(name="fresh_head")
    losses = fresh_head.unlearn(run, config_of("fresh_head"))
    assert next(losses).item() == pytest.approx(math.log(6), rel=1e-6)
    assert run.progress.samples == 8  # `count` refuses a forget image among them


def test_what_the_originals_head_said_leaves_no_trace(trained_run: MakeRun) -> None:
    heads: list[Tensor] = []
    for folder, scale in (("a", 1.0), ("b", -3.0)):
        run = trained_run(name="fresh_head", folder=folder)
        with torch.no_grad():
            run.model.fc.weight.mul_(scale)
            run.model.fc.bias.add_(scale)
        run.drive(fresh_head.unlearn(run, config_of("fresh_head")))
        heads.append(weights_of(run.model)["fc.weight"])
    assert torch.equal(*heads)


def test_perfect_accuracies_on_untouched_features(trained_run: MakeRun) -> None:
    run = trained_run(name="fresh_head")
    assert run.forget_acc() > 90
    run.drive(fresh_head.unlearn(run, config_of("fresh_head", epochs=8, lr=0.1)))
    assert run.forget_acc() == 0
    assert accuracy(run.model, run.whole_split, run.manifest.select("train", "retain"), run.launch) > 90
