import math

import torch

from tests.conftest import SHAPE
from unlearning.metrics.alone.info_nce import Critic, info_nce_information
from unlearning.metrics.alone.mutual_information import info_nce
from unlearning.models.backbone import build
from unlearning.params import CrossFitted, InfoNCE, MutualInformation

CPU = torch.device("cpu")
SETTINGS = MutualInformation(
    layers=None, max_samples=100, estimator="info_nce", trials=1, seed=0,
    cross_fitted=CrossFitted(critic="linear", folds=2, rank=8, landmarks=8),
    info_nce=InfoNCE(
        held_out=0.25, dimension=8, batch_size=16, epochs=30, max_steps_per_epoch=100, lr_features=0.003, lr_labels=0.05
    ),
)  # fmt: skip


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
    estimate = info_nce_information(build(SHAPE), "layer3", *telling_features(6.0), SETTINGS, trial=0, device=CPU)
    assert 0.3 < estimate.held_out <= math.log(2)


def test_finds_none_in_noise_on_held_out_samples_even_when_the_critic_memorises() -> None:
    torch.manual_seed(0)
    estimate = info_nce_information(build(SHAPE), "layer3", *telling_features(0.0), SETTINGS, trial=0, device=CPU)
    assert 0 <= estimate.held_out < 0.1


def test_same_seed_same_estimate_and_the_model_is_left_alone() -> None:
    torch.manual_seed(0)
    model = build(SHAPE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    features, labels = telling_features(2.0)
    first, second = (info_nce_information(model, "layer3", features, labels, SETTINGS, 0, CPU) for _ in range(2))
    assert first == second
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
