import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from unlearning.metrics.beside import knn
from unlearning.metrics.beside.knn import knn_predictions


def sample(count: int, dimension: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))


def classes(count: int, number: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(number, (count,), generator=torch.Generator().manual_seed(seed))


def angles(degrees: list[float]) -> torch.Tensor:
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


@pytest.mark.parametrize("k", [1, 2, 5, 20])
@pytest.mark.parametrize("number", [2, 12])
def test_equals_scikit_learn(k: int, number: int) -> None:
    features, labels, queries = sample(300), classes(300, number), sample(200, seed=1)
    neighbours = KNeighborsClassifier(k, metric="cosine", weights="uniform", algorithm="brute")
    expected = neighbours.fit(features.double().numpy(), labels.numpy()).predict(queries.double().numpy())
    predictions = knn_predictions(features, labels, queries, k)
    assert predictions.dtype == torch.int64
    assert predictions.tolist() == expected.tolist()


def test_equals_a_plain_vote() -> None:
    features, labels, queries = sample(40), classes(40, 4), sample(15, seed=1)
    for query, prediction in zip(queries, knn_predictions(features, labels, queries, 7).tolist(), strict=True):
        similarity = [torch.cosine_similarity(query, feature, dim=0).item() for feature in features]
        nearest = sorted(range(40), key=lambda index: -similarity[index])[:7]
        votes = [sum(labels[index].item() == label for index in nearest) for label in range(4)]
        assert prediction == votes.index(max(votes))


@pytest.mark.parametrize("nearest_first", [[2, 1], [1, 2], [2, 1, 5], [5, 2, 1, 5, 1, 2]])
def test_a_tie_goes_to_the_smallest_class(nearest_first: list[int]) -> None:
    features = angles([float(10 * (1 + index)) for index in range(len(nearest_first))])
    assert knn_predictions(features, torch.tensor(nearest_first), angles([0.0]), len(nearest_first)).tolist() == [1]


def test_more_votes_beat_a_nearer_sample_and_a_smaller_class() -> None:
    features, labels = angles([1.0, 20.0, 30.0, 40.0]), torch.tensor([0, 9, 9, 0])
    assert knn_predictions(features, labels, angles([0.0]), 3).tolist() == [9]
    assert knn_predictions(features, labels, angles([0.0]), 1).tolist() == [0]
    assert knn_predictions(features, labels, angles([0.0]), 4).tolist() == [0]


def test_samples_beyond_the_k_nearest_have_no_vote() -> None:
    features, labels = angles([5.0] + [90.0] * 50), torch.tensor([3] + [1] * 50)
    assert knn_predictions(features, labels, angles([0.0]), 1).tolist() == [3]


@pytest.mark.parametrize("block", [1, 7, 50])
def test_blocks_of_queries_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, queries = sample(60), classes(60, 5), sample(50, seed=1)
    whole = knn_predictions(features, labels, queries, 5)
    monkeypatch.setattr(knn, "QUERIES", block)
    assert torch.equal(knn_predictions(features, labels, queries, 5), whole)


def test_only_the_direction_of_each_vector_counts() -> None:
    features, labels, queries = sample(60), classes(60, 5), sample(50, seed=1)
    stretch = torch.rand(60, 1, generator=torch.Generator().manual_seed(2)) * 100 + 0.01
    expected = knn_predictions(features, labels, queries, 5)
    assert torch.equal(knn_predictions(features * stretch, labels, queries * 1000, 5), expected)


def test_a_zero_vector_is_no_ones_nearest_neighbour() -> None:
    features, labels = torch.cat([torch.zeros(1, 2), angles([10.0, 80.0])]), torch.tensor([2, 0, 1])
    assert knn_predictions(features, labels, angles([0.0, 90.0]), 1).tolist() == [0, 1]


def test_a_zero_query_gets_the_majority_of_all_when_it_asks_all() -> None:
    features, labels = angles([10.0, 20.0, 30.0]), torch.tensor([4, 2, 4])
    assert knn_predictions(features, labels, torch.zeros(2, 2), 3).tolist() == [4, 4]


def test_fewer_than_k_samples_are_an_error() -> None:
    assert knn_predictions(sample(5), classes(5, 2), sample(3), 5).shape == (3,)
    with pytest.raises(ValueError, match="5 neighbours cannot be found among 4 samples"):
        knn_predictions(sample(4), classes(4, 2), sample(3), 5)
