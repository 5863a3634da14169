"""Eigenvalues of symmetric matrices without negative ones, also where LAPACK's quick algorithm does not converge.

Dead units make many rows zero, or nearly so, and then it gives up on some machines and for some numbers of threads. The
singular value decomposition, which is the same for such a matrix, is slower and does not.
"""

import torch
from torch import Tensor


def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (..., d), ascending, and eigenvectors (..., d, d), columns, of (..., d, d)."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        vectors, values, _ = torch.linalg.svd(matrix)
        return values.flip(-1), vectors.flip(-1)
    return values, vectors


def eigvalsh(matrix: Tensor) -> Tensor:
    """Return the eigenvalues (..., d), ascending, of (..., d, d)."""
    try:
        values: Tensor = torch.linalg.eigvalsh(matrix)
    except torch.linalg.LinAlgError:
        return torch.linalg.svdvals(matrix).flip(-1)
    return values


def pinv(matrix: Tensor, rtol: float | None = None) -> Tensor:
    """Return the pseudo-inverse of (d, d); rtol: of the largest eigenvalue, below which others are taken for 0."""
    try:
        inverse: Tensor = torch.linalg.pinv(matrix, rtol=rtol, hermitian=True)
    except torch.linalg.LinAlgError:
        return torch.linalg.pinv(matrix, rtol=rtol)
    return inverse
