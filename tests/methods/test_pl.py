import copy
import math

import pytest
import torch
from torch import nn

from tests.conftest import config_of
from unlearning.methods import pl
from unlearning.methods.families.pseudo_labels import pseudo_labels
from unlearning.params import Augment

KEPT = [0, 2, 3, 5]
STRONG = Augment(padding=2, min_area=0.3, flip=0.5, jitter=0.9, grayscale=0.0)


def cross_entropy(logits: torch.Tensor, labels: list[int]) -> float:
    """The mean, summed sample by sample."""
    rows = zip(logits.double().tolist(), labels, strict=True)
    return sum(math.log(sum(map(math.exp, row))) - row[label] for row, label in rows) / len(labels)


def best_kept(logits: torch.Tensor) -> list[int]:
    return [max(KEPT, key=row.__getitem__) for row in logits.tolist()]


def make_sure_of(model: nn.Module, *classes: int) -> None:
    """Let the classifier prefer some classes for whatever image, the first most."""
    with torch.no_grad():
        for rank, label in enumerate(classes):
            model.get_classifier().bias[label] = 50.0 - rank


@pytest.mark.parametrize("sure_of", [(), (1, 4), (4, 1)])
def test_first_loss_is_cross_entropy_with_the_best_kept_class(make_run, sure_of: tuple[int, ...]) -> None:
    run, twin = make_run(name="pl"), make_run(name="pl", folder="twin")
    make_sure_of(run.model, *sure_of)
    make_sure_of(twin.model, *sure_of)
    loss = next(pl.unlearn(run, config_of("pl")))
    teacher = copy.deepcopy(twin.model).eval()
    twin.optimise(twin.model, config_of("pl"))
    batch = next(twin.batches("forget", config_of("pl")))
    expected = cross_entropy(twin.model(batch.images), best_kept(teacher(batch.images)))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sure_of", [(1, 4), (4, 1), (1,)])
def test_a_pseudo_label_is_never_a_class_to_be_forgotten(make_run, sure_of: tuple[int, ...]) -> None:
    run = make_run()
    make_sure_of(run.model, *sure_of)
    teacher = run.teacher()
    images = torch.cat([batch.images for batch in run.scan("forget")])
    assert set(teacher(images).argmax(dim=1).tolist()) == {sure_of[0]}
    labels = pseudo_labels(teacher, images, torch.tensor(run.manifest.forget_classes))
    assert set(labels.tolist()) <= set(KEPT)
    assert labels.tolist() == best_kept(teacher(images))


def test_labels_are_taken_anew_from_the_very_view_the_student_sees(make_run) -> None:
    run = make_run(name="pl")
    teacher = copy.deepcopy(run.model).eval()
    passes: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(model: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if model.training:
            passes.append((inputs[0], output))

    run.model.register_forward_hook(keep)
    positions: list[int] = []
    count = run.count
    run.count = lambda batch, part: (positions.extend(batch.positions.tolist()), count(batch, part))
    labels: dict[int, set[int]] = {}

    def checked():
        for loss in pl.unlearn(run, config_of("pl", augment=STRONG, epochs=3)):
            with torch.no_grad():
                own = best_kept(teacher(passes[-1][0]))
            assert loss.item() == pytest.approx(cross_entropy(passes[-1][1], own), rel=1e-4)
            for position, label in zip(positions[-len(own) :], own, strict=True):
                labels.setdefault(position, set()).add(label)
            yield loss

    run.drive(checked())
    assert any(len(of_one_image) > 1 for of_one_image in labels.values())


def test_forgets_and_keeps(trained_run) -> None:
    run = trained_run(name="pl")
    rows = run.drive(pl.unlearn(run, config_of("pl", epochs=8, lr=0.01))).rows
    assert run.forget_acc() == 0
    assert rows[-1]["validation_forget_acc"] == 0
    assert rows[-1]["validation_retain_acc"] > 60
