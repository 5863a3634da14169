import math

import pytest
import torch

from unlearning.metrics.alone.mutual_information import info_nce, information_of, label_entropy


def definition(scores: torch.Tensor, labels: list[int]) -> float:
    """mean_i log( exp(s_i,yi) / (1/K sum_j exp(s_i,yj)) ), sum by sum."""
    k = len(labels)
    s = scores.tolist()
    terms = [
        math.log(math.exp(s[i][labels[i]]) / (sum(math.exp(s[i][labels[j]]) for j in range(k)) / k)) for i in range(k)
    ]
    return sum(terms) / k


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 1], [1, 1, 1, 0, 0, 1], [1, 1, 1]])
def test_info_nce_equals_its_definition(labels: list[int]) -> None:
    scores = torch.randn(len(labels), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert info_nce(scores, torch.tensor(labels)).item() == pytest.approx(definition(scores, labels), rel=1e-6)


@pytest.mark.parametrize("ones", [1, 4, 7])
def test_bound_reaches_the_label_entropy_and_never_passes_it(ones: int) -> None:
    labels = torch.tensor([1] * ones + [0] * (8 - ones))
    perfect = 100.0 * torch.nn.functional.one_hot(labels, 2).double()
    assert info_nce(perfect, labels).item() == pytest.approx(label_entropy(labels), rel=1e-5)
    for seed in range(20):
        scores = 5 * torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert info_nce(scores, labels) <= label_entropy(labels) + 1e-6


def test_bound_is_entropy_minus_logistic_cross_entropy() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1])
    scores = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logit = scores[:, 1] - scores[:, 0] + math.log(2 / 3)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(logit, labels.double())
    assert info_nce(scores, labels).item() == pytest.approx(label_entropy(labels) - cross_entropy.item(), rel=1e-5)
    assert information_of(logit, labels) == pytest.approx(info_nce(scores, labels).item(), rel=1e-5)


def test_label_entropy_of_balanced_and_of_certain_labels() -> None:
    assert label_entropy(torch.tensor([0, 1])) == pytest.approx(math.log(2))
    assert label_entropy(torch.tensor([1, 1])) == 0
