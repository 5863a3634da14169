import numpy as np
import pytest
import torch

from unlearning.metrics.cka import linear_cka


def features(samples: int, dimension: int, seed: int) -> torch.Tensor:
    return torch.randn(samples, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Textbook form: HSIC of centred Gram matrices."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    return 100 * np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))


@pytest.mark.parametrize(("samples", "d1", "d2"), [(50, 4, 6), (5, 20, 30), (20, 30, 3), (2, 3, 3)])
def test_both_forms_equal_the_gram_form(samples: int, d1: int, d2: int) -> None:
    x, y = features(samples, d1, 0), features(samples, d2, 1)
    assert linear_cka(x, y) == pytest.approx(gram_cka(x.numpy(), y.numpy()), rel=1e-10)


def test_is_100_for_equal_features() -> None:
    assert linear_cka(features(10, 4, 0), features(10, 4, 0)) == pytest.approx(100)


@pytest.mark.parametrize("samples", [6, 40])
def test_ignores_rotation_scale_and_shift(samples: int) -> None:
    x, y = features(samples, 8, 0), features(samples, 8, 1)
    rotation, _ = torch.linalg.qr(features(8, 8, 2))
    assert linear_cka(x, 3 * y @ rotation + 7) == pytest.approx(linear_cka(x, y), rel=1e-9)
    assert linear_cka(x, -2 * x @ rotation - 1) == pytest.approx(100)


def test_is_not_invariant_to_any_linear_map() -> None:
    x = features(40, 4, 0)
    assert linear_cka(x, x * torch.tensor([10.0, 1, 1, 1])) < 95


def test_is_near_0_for_unrelated_features_of_many_samples() -> None:
    assert linear_cka(features(20_000, 4, 0), features(20_000, 4, 1)) < 0.1


def test_is_symmetric() -> None:
    x, y = features(12, 5, 0), features(12, 9, 1)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x))


def test_float32_features_with_a_large_offset_lose_nothing() -> None:
    x, y = features(30, 4, 0), features(30, 4, 1)
    assert linear_cka((x + 1000).float(), y.float()) == pytest.approx(linear_cka(x, y), abs=0.01)


def test_refuses_constant_features_and_too_few_samples() -> None:
    with pytest.raises(ValueError, match="constant"):
        linear_cka(torch.ones(5, 3), features(5, 3, 0))
    with pytest.raises(ValueError, match="two or more samples"):
        linear_cka(features(1, 3, 0), features(1, 3, 1))
    with pytest.raises(ValueError, match="same"):
        linear_cka(features(4, 3, 0), features(5, 3, 1))
