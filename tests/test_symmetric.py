"""The right values, also where the quick algorithm gives up: it does so on some machines alone, so it is made to."""

import pytest
import torch
from torch import Tensor

from unlearning.symmetric import eigh, eigvalsh, pinv

RANKS = [1, 3, 6]


def some_matrix(rank: int, groups: int = 2, size: int = 6) -> Tensor:
    """Return matrices (groups, size, size) without negative eigenvalues."""
    columns = torch.randn(groups, size, rank, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)
    return columns @ columns.mT


@pytest.fixture(params=["quick", "gives up"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let LAPACK's algorithm converge, or not."""
    if request.param == "quick":
        return
    whole = torch.linalg.pinv

    def fail(*_: object, **__: object) -> None:
        raise torch.linalg.LinAlgError("linalg.eigh: the algorithm failed to converge")

    def pseudo_inverse(matrix: Tensor, hermitian: bool = False, **options: float) -> Tensor:
        if hermitian:
            fail()
        return whole(matrix, **options)

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    monkeypatch.setattr(torch.linalg, "eigvalsh", fail)
    monkeypatch.setattr(torch.linalg, "pinv", pseudo_inverse)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("rank", RANKS)
def test_vectors_and_values_make_the_matrix_in_ascending_order(rank: int) -> None:
    matrix = some_matrix(rank)
    values, vectors = eigh(matrix)
    assert (values.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(vectors @ (values[..., None] * vectors.mT), matrix)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(6, dtype=torch.float64).expand(2, 6, 6))
    torch.testing.assert_close(eigvalsh(matrix), values, atol=1e-12, rtol=1e-9)
    assert (values[:, -rank:] > 1e-6).all()
    assert (values[:, :-rank].abs() < 1e-9).all()


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("rank", RANKS)
def test_the_pseudo_inverse_inverts_what_is_there(rank: int) -> None:
    matrix = some_matrix(rank)[0]
    inverse = pinv(matrix, rtol=1e-10)
    torch.testing.assert_close(matrix @ inverse @ matrix, matrix)
    torch.testing.assert_close(inverse @ matrix @ inverse, inverse)
    assert torch.linalg.matrix_rank(inverse) == rank


@pytest.mark.usefixtures("solver")
def test_rows_of_zeros_are_eigenvectors_of_zero() -> None:
    matrix = torch.zeros(6, 6, dtype=torch.float64)
    matrix[2:4, 2:4] = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    values, vectors = eigh(matrix)
    torch.testing.assert_close(values, torch.tensor([0.0, 0, 0, 0, 1, 3], dtype=torch.float64))
    assert vectors[[0, 1, 4, 5], -2:].abs().max() < 1e-12
