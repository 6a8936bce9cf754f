"""Covariance by a few common factors and each asset's own variance. T bars, A assets, K factors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.covariance.record import to_correlation
from tidewright.portfolio.inputs import FloatArray, read_matrix


def factor(returns: FloatArray, *, factors: int | ArrayLike | None = None) -> tuple[FloatArray, tuple[str, ...]]:
    """Loadings, factor covariance and own variances: B F B' + D, with D diagonal.

    `factors` is how many principal components of the correlations are common (None: as many as have an eigenvalue
    above the edge of noise, (1 + sqrt(A / T))^2, and at least one), or returns [T, K] of factors of one's own, on
    which the assets are regressed (own variances with T - K - 1 degrees of freedom). Variances are the sample's with
    principal components. Source: Connor, Goldberg and Korajczyk 2010, Portfolio Risk Analysis, chapters 3 and 4.
    """
    if isinstance(factors, bool | float):
        raise AllocationError(f"factors is {factors!r}; it is a whole number, a table of returns [T, K], or None.")
    if factors is None or isinstance(factors, int | np.integer):
        return _by_components(returns, count=None if factors is None else int(factors))
    return _by_regression(returns, given=factors)


def _by_components(returns: FloatArray, *, count: int | None) -> tuple[FloatArray, tuple[str, ...]]:
    rows, assets = returns.shape
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(to_correlation(covariance))
    if count is None:
        count = max(int((values > (1.0 + (assets / rows) ** 0.5) ** 2).sum()), 1)
    elif not 1 <= count <= assets:
        raise AllocationError(f"factors is {count}; of {assets} assets there are 1 to {assets} components.")
    common = (vectors[:, -count:] * values[-count:]) @ vectors[:, -count:].T
    np.fill_diagonal(common, 1.0)
    share = float(values[-count:].sum()) / assets
    note = f"{count} principal components, {share:.0%} of the variance of standardised returns"
    return common * deviation * deviation[:, None], (note,)


def _by_regression(returns: FloatArray, *, given: ArrayLike) -> tuple[FloatArray, tuple[str, ...]]:
    table = read_matrix(given, noun="factor returns")
    rows, count = table.shape
    if rows != len(returns):
        raise AllocationError(f"{rows} rows of factor returns came with {len(returns)} of returns. Give one a bar.")
    if not np.isfinite(table).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(table))[0])
        raise AllocationError(f"factor {column} is {table[row, column]} in row {row}. Fill or drop that row.")
    centred = table - table.mean(axis=0)
    if rows - count - 1 < 1 or np.linalg.matrix_rank(centred) < count:
        raise AllocationError(
            f"{count} factors can't be told apart in {rows} rows: they are too many, constant or combinations of "
            "each other. Leave some out."
        )
    loadings = np.linalg.lstsq(centred, returns - returns.mean(axis=0), rcond=None)[0]
    own = ((returns - returns.mean(axis=0) - centred @ loadings) ** 2).sum(axis=0) / (rows - count - 1)
    common = loadings.T @ np.atleast_2d(np.cov(table, rowvar=False)) @ loadings
    explained = 1.0 - float(own.sum() / (own.sum() + np.trace(common)))
    return common + np.diag(own), (f"{count} given factors explain {explained:.0%} of the variance",)
