import numpy as np
import pytest
import torch

from unlearning.data.samples import balanced_sample, kept_sample

FORGET, RETAIN = np.arange(0, 96, 3), np.setdiff1d(np.arange(96), np.arange(0, 96, 3))  # 32 and 64 positions


@pytest.mark.parametrize(("max_samples", "per_part"), [(10, 5), (11, 5), (64, 32), (1000, 32)])
def test_a_balanced_sample_is_sorted_unique_and_bounded(max_samples: int, per_part: int) -> None:
    sample = balanced_sample(FORGET, RETAIN, max_samples, seed=0)
    assert len(sample) == len(set(sample)) == 2 * per_part <= max_samples
    assert sample.tolist() == sorted(sample)
    assert np.isin(sample, FORGET).sum() == per_part
    assert np.isin(sample, RETAIN).sum() == per_part


def test_the_rarer_kind_bounds_a_balanced_sample_whichever_it_is() -> None:
    assert np.isin(balanced_sample(FORGET, RETAIN[:3], 64, seed=0), FORGET).sum() == 3


def test_a_balanced_sample_depends_on_the_seed_alone() -> None:
    def sample(seed: int, global_seed: int) -> list[int]:
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        return balanced_sample(FORGET, RETAIN, 20, seed).tolist()

    assert sample(0, 0) == sample(0, 1)
    assert sample(0, 0) != sample(1, 0)


@pytest.mark.parametrize("max_samples", [1, 7, 19])
def test_a_kept_sample_is_sorted_unique_and_of_the_asked_size(max_samples: int) -> None:
    sample = kept_sample(20, max_samples, seed=0)
    assert sample.dtype == np.int64
    assert len(sample) == max_samples
    assert sample.tolist() == sorted(set(sample.tolist()) & set(range(20)))


@pytest.mark.parametrize("max_samples", [20, 21, 1000])
def test_all_samples_are_kept_where_they_fit(max_samples: int) -> None:
    assert kept_sample(20, max_samples, seed=0).tolist() == list(range(20))


def test_a_kept_sample_depends_on_the_seed_alone() -> None:
    def sample(seed: int, global_seed: int) -> list[int]:
        np.random.seed(global_seed)
        return kept_sample(100, 30, seed).tolist()

    assert sample(0, 0) == sample(0, 1)
    assert sample(0, 0) != sample(1, 0)
    assert sample(0, 0) != list(range(30))
