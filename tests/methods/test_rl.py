import pytest
import torch

from tests.conftest import UNLEARN_RECIPE
from unlearning.methods import rl
from unlearning.methods.families.random_labels import label_space, random_labels


def config(**changes: object) -> rl.Config:
    options = {"retain_pass": True, "label_space": "retain", "exclude_true_label": True}
    return rl.Config(**{**UNLEARN_RECIPE, **options, **changes})


def test_labels_are_drawn_from_the_given_classes_evenly() -> None:
    classes = torch.tensor([0, 2, 5])
    labels = random_labels(6000, classes, None, torch.Generator().manual_seed(0))
    assert torch.bincount(labels, minlength=6)[classes] == pytest.approx(2000, abs=150)
    assert set(labels.tolist()) == {0, 2, 5}


def test_true_label_is_never_drawn_when_excluded() -> None:
    own = torch.arange(4).repeat(500)
    labels = random_labels(len(own), torch.arange(4), own, torch.Generator().manual_seed(0))
    assert not (labels == own).any()
    assert set(labels.tolist()) == {0, 1, 2, 3}


def test_label_space(make_run) -> None:
    run = make_run()
    assert label_space(run, config(label_space="all")).tolist() == [0, 1, 2, 3, 4, 5]
    assert label_space(run, config(label_space="retain")).tolist() == [0, 2, 3, 5]


@pytest.mark.parametrize(("retain_pass", "steps"), [(True, 2 * (4 + 8)), (False, 2 * 4)])
def test_an_epoch_is_a_forget_pass_and_then_a_retain_pass(make_run, retain_pass: bool, steps: int) -> None:
    run = make_run()
    assert run.drive(rl.unlearn(run, config(retain_pass=retain_pass))).step == steps


def test_labels_are_fresh_in_every_batch(make_run) -> None:
    run = make_run()
    first = torch.randint(100, (8,), generator=run.generator("labels"))
    run.progress.step += 1
    assert not torch.equal(first, torch.randint(100, (8,), generator=run.generator("labels")))


def test_forgets_and_keeps(make_run) -> None:
    run = make_run()
    rows = run.drive(rl.unlearn(run, config(epochs=20))).rows
    assert rows[-1]["validation_forget_acc"] == 0
    assert rows[-1]["validation_retain_acc"] > 60
