import numpy as np
import pytest

from tests.conftest import PARAMS, RECIPE
from unlearning.params import REFERENCES, Train
from unlearning.params_file import load_params
from unlearning.training.classifier import PARTS, RECIPES, train_classifier

CONFIG = Train(**{**RECIPE, "epochs": 30, "label_smoothing": 0.0})


@pytest.mark.parametrize(("name", "forget"), [("original", True), ("retrained", False)])
def test_only_the_original_knows_the_forget_classes(make_run, name: str, forget: bool) -> None:
    run = make_run()
    row = run.drive(train_classifier(run, CONFIG, PARTS[name])).rows[-1]
    assert row["validation_retain_acc"] > 60
    assert (row["validation_forget_acc"] > 60) is forget
    assert row["validation_forget_acc"] == 0 or forget


def test_the_retrained_model_sees_no_forget_image(make_run, world) -> None:
    run = make_run()
    seen = set()
    for epoch in range(3):
        for batch in run.visit(PARTS["retrained"], 8, CONFIG.augment, epoch):
            seen |= set(batch.positions.tolist())
    assert seen == set(world.select("train", "retain").tolist())
    assert not np.isin(world.splits["train"].labels[sorted(seen)], world.forget_classes).any()


@pytest.mark.parametrize(
    ("share", "epochs", "milestones"), [(0.5, 10, [5, 8]), (0.25, 5, [2, 4]), (0.01, 1, [1]), (0.99, 20, [10, 15])]
)
def test_a_short_run_is_the_same_recipe_for_a_share_of_the_epochs(
    share: float, epochs: int, milestones: list[int]
) -> None:
    params = load_params(PARAMS)
    params = params.model_copy(update={"short_run": params.short_run.model_copy(update={"share": share})})
    short = RECIPES["short_run"](params)
    assert (short.epochs, short.milestones) == (epochs, milestones)
    own = {"epochs", "milestones"}
    assert short.model_dump(exclude=own) == params.train.model_dump(exclude=own)
    assert RECIPES["original"](params) == RECIPES["retrained"](params) == params.train
    assert set(RECIPES) == set(PARTS) == set(REFERENCES)
