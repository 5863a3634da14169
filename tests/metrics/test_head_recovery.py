import numpy as np
import pytest
import torch

from unlearning.metrics.beside.head_recovery import recovered_accuracy, recovered_head


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lstsq(features: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
    inputs = np.concatenate([features.double().numpy(), np.ones((len(features), 1))], axis=1)
    return np.linalg.lstsq(inputs, logits.double().numpy(), rcond=1e-8)[0]


def outputs(head: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    return features.double() @ head[:-1] + head[-1]


@pytest.mark.parametrize(("samples", "dimension"), [(200, 6), (40, 30), (300, 1)])
def test_equals_the_least_squares_solution_of_numpy(samples: int, dimension: int) -> None:
    features, logits = numbers(samples, dimension), numbers(samples, 4, seed=1)
    head = recovered_head(features, logits)
    assert head.dtype == torch.float64
    assert head.numpy() == pytest.approx(lstsq(features, logits), abs=1e-7)


def test_equals_numpy_with_a_dead_and_a_duplicated_feature() -> None:
    varied = numbers(60, 4).float() + 1
    features = torch.cat([varied, torch.zeros(60, 1), varied[:, :1]], dim=1)
    logits = numbers(60, 3, seed=1).float()
    head = recovered_head(features, logits)
    assert head.numpy() == pytest.approx(lstsq(features, logits), abs=1e-7)
    assert head[4].abs().max() == pytest.approx(0, abs=1e-9)
    assert head[5].tolist() == pytest.approx(head[0].tolist())


def test_a_feature_duplicated_up_to_rounding_gets_no_weight_against_its_double() -> None:
    varied, logits = numbers(60, 4).float(), numbers(60, 3, seed=1)
    again = varied[:, :1] + 1e-6 * numbers(60, 1, seed=2).float()
    assert not torch.equal(again, varied[:, :1])
    head = recovered_head(torch.cat([varied, again], dim=1), logits)
    assert (head[4] - head[0]).abs().max() < 1e-3
    expected = outputs(recovered_head(varied, logits), varied)
    assert torch.allclose(outputs(head, torch.cat([varied, again], dim=1)), expected, atol=1e-5)


def test_a_constant_feature_beside_others_changes_no_output() -> None:
    varied, logits = numbers(60, 4).float(), numbers(60, 3, seed=1).float()
    features = torch.cat([varied, torch.full((60, 1), 0.5)], dim=1)
    expected = outputs(torch.from_numpy(lstsq(varied, logits)), varied)
    assert torch.allclose(outputs(recovered_head(features, logits), features), expected, atol=1e-7)


def test_fewer_samples_than_features_get_their_logits_back() -> None:
    features, logits = numbers(5, 20), numbers(5, 3, seed=1)
    assert torch.allclose(outputs(recovered_head(features, logits), features), logits, atol=1e-8)


def test_logits_that_are_linear_in_the_features_come_back_exactly() -> None:
    features, weight, bias = numbers(100, 8), numbers(8, 5, seed=1), numbers(5, seed=2)
    head = recovered_head(features, features @ weight + bias)
    assert torch.allclose(head, torch.cat([weight, bias[None]]), atol=1e-9)
    unseen = numbers(50, 8, seed=3)
    assert recovered_accuracy(head, unseen, (unseen @ weight + bias).argmax(dim=1)) == 100


def test_no_other_head_comes_closer_to_the_logits() -> None:
    features, logits = numbers(50, 4), numbers(50, 3, seed=1)
    head = recovered_head(features, logits)
    least = (outputs(head, features) - logits).square().sum()
    for seed in range(2, 12):
        other = head + 0.01 * numbers(5, 3, seed=seed)
        assert (outputs(other, features) - logits).square().sum() > least


def test_an_invertible_linear_map_of_the_features_changes_no_prediction() -> None:
    features, unseen, logits = numbers(200, 6), numbers(80, 6, seed=1), numbers(200, 4, seed=2)
    mapping, labels = numbers(6, 6, seed=3), torch.randint(4, (80,), generator=torch.Generator().manual_seed(4))
    plain, mapped = recovered_head(features, logits), recovered_head(features @ mapping + 2, logits)
    assert torch.allclose(outputs(mapped, unseen @ mapping + 2), outputs(plain, unseen), atol=1e-7)
    accuracy = recovered_accuracy(plain, unseen, labels)
    assert recovered_accuracy(mapped, unseen @ mapping + 2, labels) == accuracy
    assert 0 < accuracy < 100


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3, 1e6])
def test_the_unit_of_the_features_does_not_matter(unit: float) -> None:
    features, weight, bias = numbers(200, 6), numbers(6, 4, seed=1), 3 * numbers(4, seed=2)
    logits = features @ weight + bias
    head = recovered_head(features * unit, logits)
    assert recovered_accuracy(head, features * unit, logits.argmax(dim=1)) == 100


def test_constant_features_give_the_mean_logits() -> None:
    logits = numbers(30, 3)
    features = torch.full((30, 5), 0.1)
    assert torch.allclose(outputs(recovered_head(features, logits), features), logits.mean(dim=0).expand(30, 3))


def test_accuracy_by_hand() -> None:
    head = torch.tensor([[1.0, -1.0], [0.0, 0.5]], dtype=torch.float64)  # logits (x, 0.5 - x): class 0 above x = 0.25
    features = torch.tensor([[0.3], [0.2], [1.0], [-1.0]])
    assert recovered_accuracy(head, features, torch.tensor([0, 1, 1, 1])) == 75
    assert recovered_accuracy(head, features, torch.tensor([1, 0, 1, 0])) == 0
