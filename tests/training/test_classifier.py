import numpy as np
import pytest

from tests.conftest import RECIPE
from unlearning.params import Train
from unlearning.training.classifier import PARTS, train_classifier

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
