"""A covariance made positive definite, with a note that says what was done and how far it moved. A assets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.covariance.record import Covariance, is_positive_definite, read_square, to_correlation
from tidewright.portfolio.inputs import FloatArray

Repair = Literal["clip", "higham"]

FLOOR = 1e-8  # the least eigenvalue of a correlation matrix that solvers and Cholesky take without loss
_ROUNDS = 200
_SETTLED = 1e-9


def repair_covariance(
    values: ArrayLike, /, *, assets: Sequence[str], method: Repair = "clip", made_by: str = "by hand"
) -> Covariance:
    """The nearest covariance that is positive definite, variances kept; one that is already is not touched.

    "clip" lifts eigenvalues of the correlation matrix below 1e-8 to it and scales the diagonal back to one (Rebonato
    and Jäckel 1999, The Most General Methodology to Create a Valid Correlation Matrix). "higham" goes to the nearest
    correlation matrix in the Frobenius norm first, by alternating projections (Higham 2002, Computing the Nearest
    Correlation Matrix), which moves a matrix that is far from valid less and takes longer.

    >>> broken = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    >>> mended = repair_covariance(broken, assets=("A", "B", "C"))
    >>> mended.notes[0]
    'repaired to positive definite by clip: 1 of 3 eigenvalues ... (the least -0.8); the largest correlation moved ...'
    """
    matrix = read_square(values, assets=assets)
    repaired, notes = repair_matrix(matrix, method=method)
    return Covariance(values=repaired, assets=tuple(assets), method=made_by, notes=notes)


def repair_matrix(matrix: FloatArray, *, method: Repair = "clip") -> tuple[FloatArray, tuple[str, ...]]:
    """The matrix [A, A] itself where it is positive definite, else its repair; and the note of what was done."""
    if method not in ("clip", "higham"):
        raise AllocationError(f"a repair is clip or higham; got {method!r}.")
    correlation = to_correlation(matrix)
    if is_positive_definite(correlation - 0.5 * FLOOR * np.eye(len(matrix))):
        return matrix, ()
    symmetric = (correlation + correlation.T) / 2.0
    eigenvalues = np.linalg.eigvalsh(symmetric)
    nearest, unsettled = _approach(symmetric) if method == "higham" else (symmetric, "")
    mended = _clip(nearest)
    deviation = np.sqrt(np.diag(matrix))
    note = (
        f"repaired to positive definite by {method}: {int((eigenvalues < FLOOR).sum())} of {len(matrix)} eigenvalues "
        f"of the correlations lay below {FLOOR:g} (the least {eigenvalues[0]:.2g}); the largest correlation moved by "
        f"{np.abs(mended - correlation).max():.2g}{unsettled}"
    )
    return mended * deviation * deviation[:, None], (note,)


def _clip(correlation: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(correlation)
    lifted = (vectors * np.maximum(values, FLOOR)) @ vectors.T
    return to_correlation((lifted + lifted.T) / 2.0)


def _approach(correlation: FloatArray) -> tuple[FloatArray, str]:
    """Higham's alternating projections with Dykstra's correction on the cone of semidefinite matrices."""
    diagonal, correction = correlation.copy(), np.zeros_like(correlation)
    for _ in range(_ROUNDS):
        shifted = diagonal - correction
        values, vectors = np.linalg.eigh(shifted)
        semidefinite = (vectors * np.maximum(values, 0.0)) @ vectors.T
        correction = semidefinite - shifted
        before, diagonal = diagonal, semidefinite.copy()
        np.fill_diagonal(diagonal, 1.0)
        if np.abs(diagonal - before).max() <= _SETTLED:
            return diagonal, ""
    return diagonal, f" (not settled after {_ROUNDS} rounds)"
