import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unlearning.metrics.alone.linear_probe import Probe, fit_probe, share_of_each_class

L2, STEPS = 0.01, 500


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clusters(samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return overlapping clusters of three classes in five dimensions of different units."""
    labels = torch.randint(3, (samples,), generator=torch.Generator().manual_seed(seed))
    units = torch.tensor([1.0, 10.0, 0.1, 3.0, 1.0])
    return (numbers(samples, 5, seed=seed + 1) + 1.5 * numbers(3, 5, seed=99)[labels]) * units + 2, labels


def predictions(probe: Probe, features: torch.Tensor) -> torch.Tensor:
    return ((features - probe.mean) * probe.scale @ probe.weight.T + probe.bias).argmax(dim=1)


@pytest.mark.parametrize("l2", [0.1, 0.003])
def test_equals_the_logistic_regression_of_scikit_learn(l2: float) -> None:
    features, labels = clusters(240)
    scaler = StandardScaler().fit(features.double().numpy())
    oracle = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-9, max_iter=10_000)
    oracle.fit(scaler.transform(features.double().numpy()), labels.numpy())
    probe = fit_probe(features, labels, 3, l2, STEPS)
    assert probe.weight.numpy() == pytest.approx(oracle.coef_, abs=2e-3)
    assert (probe.bias - probe.bias.mean()).numpy() == pytest.approx(
        oracle.intercept_ - oracle.intercept_.mean(), abs=2e-3
    )
    unseen, _ = clusters(300, seed=7)
    expected = torch.from_numpy(oracle.predict(scaler.transform(unseen.double().numpy())))
    assert (predictions(probe, unseen) == expected).double().mean() > 0.99


def test_standardises_with_the_mean_and_deviation_of_the_training_features() -> None:
    features, labels = clusters(50)
    probe = fit_probe(features, labels, 3, L2, 5)
    scaler = StandardScaler().fit(features.double().numpy())
    assert probe.mean.numpy() == pytest.approx(scaler.mean_, rel=1e-4)
    assert probe.scale.numpy() == pytest.approx(1 / scaler.scale_, rel=1e-4)


def test_more_l2_means_smaller_weights() -> None:
    features, labels = clusters(100)
    norms = [fit_probe(features, labels, 3, l2, STEPS).weight.norm().item() for l2 in (1.0, 0.1, 0.01)]
    assert norms[0] < norms[1] < norms[2]


def test_does_no_more_than_the_steps_it_is_given() -> None:
    features, labels = clusters(100)
    assert not torch.allclose(
        fit_probe(features, labels, 3, 1e-4, 1).weight, fit_probe(features, labels, 3, 1e-4, STEPS).weight, atol=0.1
    )


def test_the_same_numbers_give_the_same_probe_and_leave_the_global_generator_alone() -> None:
    features, labels = clusters(60)
    torch.manual_seed(0)
    first = fit_probe(features, labels, 3, L2, 20)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(fit_probe(features, labels, 3, L2, 20).weight, first.weight)
    assert not first.weight.requires_grad


def test_unit_and_offset_of_each_feature_do_not_matter() -> None:
    features, labels = clusters(120)
    unseen, truth = clusters(300, seed=7)
    units, offset = torch.tensor([100.0, 0.01, 1.0, -5.0, 1e4]), torch.tensor([3.0, 0.0, -50.0, 1.0, 7.0])
    plain = fit_probe(features, labels, 3, L2, STEPS)
    other = fit_probe(features * units + offset, labels, 3, L2, STEPS)
    assert (other.weight * units.sign()).numpy() == pytest.approx(plain.weight.numpy(), abs=5e-3)
    assert other.accuracy(unseen * units + offset, truth) == pytest.approx(plain.accuracy(unseen, truth), abs=1)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -1e5])
def test_a_feature_that_does_not_vary_is_ignored(value: float) -> None:
    features, labels = clusters(120)
    unseen, truth = clusters(100, seed=7)
    plain = fit_probe(features, labels, 3, L2, STEPS)
    probe = fit_probe(torch.cat([features, torch.full((120, 1), value)], dim=1), labels, 3, L2, STEPS)
    assert probe.scale[-1] == 0
    assert probe.weight[:, :5].numpy() == pytest.approx(plain.weight.numpy(), abs=2e-3)
    assert probe.accuracy(torch.cat([unseen, torch.full((100, 1), 1e6)], dim=1), truth) == plain.accuracy(unseen, truth)


def test_a_feature_that_varies_by_the_rounding_of_float32_only_is_ignored() -> None:
    features, labels = clusters(120)
    rounded = torch.where(
        labels[:, None] == 0, torch.tensor(0.1), torch.nextafter(torch.tensor(0.1), torch.tensor(1.0))
    )
    assert len(rounded.unique()) == 2
    probe = fit_probe(torch.cat([features, rounded], dim=1), labels, 3, L2, 5)
    assert probe.scale[-1] == 0
    assert (probe.scale[:5] > 0).all()


def test_dead_features_answer_with_the_most_frequent_class() -> None:
    probe = fit_probe(torch.zeros(10, 4), torch.tensor([2] * 6 + [0] * 4), 3, L2, STEPS)
    assert probe.accuracy(torch.zeros(5, 4), torch.tensor([2, 2, 0, 1, 2])) == 60
    assert probe.bias.isfinite().all()


@pytest.mark.parametrize("classes", [1, 3])
def test_one_class_only_is_always_answered(classes: int) -> None:
    probe = fit_probe(numbers(20, 3), torch.full((20,), classes - 1), classes, L2, STEPS)
    assert probe.weight.isfinite().all()
    assert probe.bias.isfinite().all()
    assert probe.accuracy(numbers(10, 3, seed=1), torch.full((10,), classes - 1)) == 100


def test_classes_that_can_be_told_apart_are() -> None:
    labels = torch.arange(40) % 4
    features = torch.eye(4)[labels] + 0.01 * numbers(40, 4)
    assert fit_probe(features, labels, 4, 1e-3, STEPS).accuracy(features, labels) == 100


def test_accuracy_by_hand() -> None:
    weight, bias = torch.tensor([[1.0, 5.0], [-1.0, 5.0]]), torch.tensor([0.0, 1.0])
    probe = Probe(
        torch.tensor([2.0, 7.0]), torch.tensor([0.5, 0.0]), weight, bias
    )  # (x - 2) / 2 against its negative + 1
    features = torch.tensor([[3.1, 0.0], [2.9, 1e9], [10.0, 7.0], [-4.0, 7.0]])
    assert probe.accuracy(features, torch.tensor([0, 1, 1, 1])) == 75
    assert probe.accuracy(features.double(), torch.tensor([1, 0, 1, 0])) == 0


LABELS = torch.tensor([5] * 100 + [0] * 50 + [3] * 10 + [1])[
    torch.randperm(161, generator=torch.Generator().manual_seed(0))
]


@pytest.mark.parametrize(
    ("fraction", "counts"),
    [
        (0.02, {5: 2, 0: 1, 3: 1, 1: 1}),
        (0.1, {5: 10, 0: 5, 3: 1, 1: 1}),
        (0.3, {5: 30, 0: 15, 3: 3, 1: 1}),
        (1.0, {5: 100, 0: 50, 3: 10, 1: 1}),
        (1e-6, {5: 1, 0: 1, 3: 1, 1: 1}),
    ],
)
def test_takes_the_share_of_each_class_and_one_at_least(fraction: float, counts: dict[int, int]) -> None:
    chosen = share_of_each_class(LABELS, fraction, 0)
    assert {label: int((LABELS[chosen] == label).sum()) for label in counts} == counts
    assert len(chosen) == sum(counts.values())


def test_positions_are_sorted_and_different() -> None:
    chosen = share_of_each_class(LABELS, 0.3, 0).tolist()
    assert chosen == sorted(set(chosen))
    assert share_of_each_class(LABELS, 1.0, 0).tolist() == list(range(161))


def test_the_seed_decides_the_positions() -> None:
    first = share_of_each_class(LABELS, 0.1, 0)
    assert first.dtype == torch.int64
    assert torch.equal(first, share_of_each_class(LABELS, 0.1, 0))
    assert not torch.equal(first, share_of_each_class(LABELS, 0.1, 1))
