import pytest
import torch

from unlearning.metrics.alone.accuracy import per_class_accuracy, split_accuracy


def test_counts_forget_and_retain_apart() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    predictions = torch.tensor([0, 1, 1, 1, 2, 0, 0])
    assert split_accuracy(predictions, labels, labels == 0) == (50.0, 60.0)


def test_a_model_that_never_names_a_forget_class_has_forget_accuracy_zero() -> None:
    labels = torch.tensor([0, 0, 1])
    assert split_accuracy(torch.tensor([1, 1, 1]), labels, labels == 0) == (0.0, 100.0)


@pytest.mark.parametrize(("labels", "expected"), [([0, 0], (100.0, None)), ([1, 1], (None, 100.0))])
def test_a_side_without_samples_has_no_accuracy(labels: list[int], expected: tuple[float | None, float | None]) -> None:
    own = torch.tensor(labels)
    assert split_accuracy(own, own, own == 0) == expected


def test_per_class_with_a_class_that_has_no_sample() -> None:
    assert per_class_accuracy(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 3) == [50.0, 100.0, None]
