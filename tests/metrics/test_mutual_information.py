import math

import pytest
import torch

from tests.conftest import SHAPE
from unlearning.metrics.mutual_information import Critic, info_nce, label_entropy, mutual_information
from unlearning.models.backbone import build
from unlearning.params import MutualInformation

CPU = torch.device("cpu")
SETTINGS = MutualInformation(
    layers=None, max_samples=100, held_out=0.25, dimension=8, batch_size=16, epochs=30,
    max_steps_per_epoch=100, lr_features=0.003, lr_labels=0.05, trials=1, seed=0,
)  # fmt: skip


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


def test_label_entropy_of_balanced_and_of_certain_labels() -> None:
    assert label_entropy(torch.tensor([0, 1])) == pytest.approx(math.log(2))
    assert label_entropy(torch.tensor([1, 1])) == 0


def test_untrained_critic_knows_exactly_nothing() -> None:
    critic = Critic(build(SHAPE), "layer3", 8).eval()
    assert info_nce(critic(torch.randn(6, 8, 2, 2)), torch.tensor([0, 1] * 3)).item() == 0


def telling_features(strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 2
    features = torch.randn(120, 8, 2, 2, generator=generator)
    features[:, 0] += strength * labels[:, None, None]
    return features, labels


def test_finds_information_that_is_there() -> None:
    torch.manual_seed(0)
    estimate = mutual_information(build(SHAPE), "layer3", *telling_features(6.0), SETTINGS, trial=0, device=CPU)
    assert 0.3 < estimate.held_out <= math.log(2)


def test_finds_none_in_noise_on_held_out_samples_even_when_the_critic_memorises() -> None:
    torch.manual_seed(0)
    estimate = mutual_information(build(SHAPE), "layer3", *telling_features(0.0), SETTINGS, trial=0, device=CPU)
    assert 0 <= estimate.held_out < 0.1


def test_same_seed_same_estimate_and_the_model_is_left_alone() -> None:
    torch.manual_seed(0)
    model = build(SHAPE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    features, labels = telling_features(2.0)
    first, second = (mutual_information(model, "layer3", features, labels, SETTINGS, 0, CPU) for _ in range(2))
    assert first == second
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
