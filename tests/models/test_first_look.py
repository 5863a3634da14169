from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import CLASSES, values_of_params
from unlearning.data.manifest import Manifest, Split
from unlearning.engine.launch import launch
from unlearning.models.first_look import (
    Answers,
    doubts,
    fitting_order,
    known_from,
    look,
    measured_normalisation,
    report,
    some_of_each,
)
from unlearning.params import Params

NAMES = [f"class{number}" for number in range(1, 13)]
TEXT = sorted(NAMES)  # class1, class10, class11, class12, class2, ...


class Rows(nn.Module):
    """Answers by the brightest row, which is the class in `world`; each answer is translated."""

    def __init__(self, translated: list[int]) -> None:
        super().__init__()
        self.translated = translated

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0].mean(dim=2)[:, self.translated]


def answers(said: Callable[[int], int], classes: int, images: int = 10) -> dict[str, Answers]:
    """Return the answers of a model that says `said` of each image of a class."""
    labels = torch.arange(classes).repeat_interleave(images)
    predictions = torch.tensor([said(int(label)) for label in labels])
    return {split: Answers(predictions, labels) for split in ("train", "test")}


@pytest.fixture
def toy(manifest: Manifest) -> Manifest:
    """Return a manifest of twelve classes whose names sort differently as text, two of them to be forgotten."""
    return replace(manifest, classes=TEXT, forget_classes=[0, 1])


def test_a_model_that_knows_the_classes_is_reported_with_each_of_them(world: Manifest) -> None:
    seen = look(Rows(list(range(CLASSES))), world, launch("fp32"), 0)
    assert torch.equal(seen["train"].labels.bincount(), torch.full((CLASSES,), 16))
    assert torch.equal(seen["test"].labels.bincount(), torch.full((CLASSES,), 4))
    text = report(seen, world, "original, own.pth")
    assert text.splitlines() == [
        "original, own.pth: accuracy on training / test images, percent, of at most 16 images of each class and split",
        "  " + ", ".join(f"class{label}: 100 / 100" for label in range(CLASSES)),
        "  all to keep: 100 / 100, all to forget: 100 / 100",
    ]
    assert doubts(seen, world, knows_forget=True) == []


def test_a_few_images_of_each_class_are_looked_at_spread_over_all_of_them(world: Manifest) -> None:
    labels = np.repeat(np.arange(CLASSES), 500)
    many = replace(world, splits={"train": Split([str(i) for i in range(len(labels))], labels)})
    chosen = some_of_each(many, "train")
    assert np.bincount(labels[chosen]).tolist() == [20] * CLASSES
    of_first = chosen[labels[chosen] == 0]
    assert (of_first[0], of_first[-1]) == (0, 499)
    thousand = replace(
        world, classes=[str(i) for i in range(1000)], splits={"train": Split([], np.arange(3000) % 1000)}
    )
    assert np.bincount(thousand.splits["train"].labels[some_of_each(thousand, "train")]).tolist() == [2] * 1000


@pytest.mark.parametrize(("classes", "least"), [(2, 75), (4, 62.5), (10, 30), (100, 3)])
def test_what_counts_as_known_is_thrice_chance_or_half_way_from_chance(classes: int, least: float) -> None:
    assert known_from(classes) == pytest.approx(least)


def test_a_model_that_guesses_is_doubted_with_the_usual_causes(toy: Manifest) -> None:
    (line,) = doubts(answers(lambda _: 5, 12), toy, knows_forget=True)
    assert (
        "does not know the classes (test accuracy below 25 %); usual causes: the order of the classes, data.mean"
        in line
    )


@pytest.mark.parametrize(("order", "words"), [(NAMES, "in natural order (class1, class2, class3")])
def test_a_model_trained_in_natural_order_is_found_out(toy: Manifest, order: list[str], words: str) -> None:
    (line,) = doubts(answers(lambda label: order.index(TEXT[label]), 12), toy, knows_forget=True)
    assert f"its outputs fit the classes {words}" in line


def test_a_model_trained_in_text_order_is_found_out_where_the_data_have_natural_order(toy: Manifest) -> None:
    natural = replace(toy, classes=NAMES)
    (line,) = doubts(answers(lambda label: TEXT.index(NAMES[label]), 12), natural, knows_forget=True)
    assert "in the order of their names as text (class1, class10, class11" in line


def test_a_model_in_an_order_of_its_own_is_found_out_by_its_answers(toy: Manifest) -> None:
    (line,) = doubts(answers(lambda label: (label + 5) % 12, 12), toy, knows_forget=True)
    assert f"in an order of their own ({TEXT[7]}, {TEXT[8]}, {TEXT[9]}" in line


def test_a_model_that_guesses_fits_no_order() -> None:
    random = torch.Generator().manual_seed(0)
    said = Answers(torch.randint(12, (600,), generator=random), torch.arange(12).repeat_interleave(50))
    assert fitting_order(said, TEXT, list(range(12))) is None


def test_an_original_that_does_not_know_the_classes_to_forget_is_doubted(toy: Manifest) -> None:
    (line,) = doubts(answers(lambda label: max(label, 2), 12), toy, knows_forget=True)
    assert line.startswith("it does not know the classes to forget (class1, class10)")


def test_a_retrained_model_is_doubted_only_where_it_knows_the_classes_to_forget(toy: Manifest) -> None:
    assert doubts(answers(lambda label: max(label, 2), 12), toy, knows_forget=False) == []
    (line,) = doubts(answers(lambda label: label, 12), toy, knows_forget=False)
    assert line.startswith("it knows the classes to forget (class1, class10): was it trained without them?")


@pytest.mark.parametrize(
    ("mean", "std", "said"), [(None, None, True), ([0.5], None, True), (None, [0.5], True), ([0.5], [0.5], False)]
)
def test_measured_mean_and_std_are_said(mean: list | None, std: list | None, said: bool, toy: Manifest) -> None:
    values = values_of_params()
    own = {key: value for key, value in values.items() if key in Params.model_fields}
    own["data"] |= {"mean": mean, "std": std}
    lines = measured_normalisation(Params.model_validate(own), toy)
    assert len(lines) == said
    assert all("data.mean or data.std is empty" in line for line in lines)
