"""Nested clustered optimisation: least variance inside each cluster, then between them. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.allocate.clusters import cut_tree
from tidewright.portfolio.allocate.risk import read_risk
from tidewright.portfolio.allocate.tree import Distance, Linkage, grow_tree
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.weights import Weights


def nco_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    distance: Distance = "plain",
    linkage: Linkage = "ward",
    clusters: int | None = None,
) -> Weights:
    """The long-only portfolio of least variance inside each cluster, and of these portfolios among themselves.

    So an error in one cluster's covariances moves no other. The tree is cut into `clusters` (None: counted by the gap,
    see `count_clusters`); `covariance` None is the sample's. Source: Lopez de Prado 2019, A Robust Estimator of the
    Efficient Frontier; he clusters by k-means and allows short weights.

    >>> rng = np.random.default_rng(7)
    >>> base = rng.normal(0, 0.01, size=(500, 2))
    >>> twin = base[:, :1] + rng.normal(0, 0.001, size=(500, 1))
    >>> nco_weights(np.hstack([base, twin]), assets=("A", "B", "twin of A"), clusters=2).values.round(1)
    array([0.4, 0.5, 0.1])
    """
    matrix, notes = read_risk(returns, assets=assets, times=times, covariance=covariance, inverted=True)
    members = list(cut_tree(grow_tree(matrix, distance=distance, linkage=linkage), clusters=clusters).values())
    inside = np.zeros((len(members), len(matrix)))
    for row, places in zip(inside, members, strict=True):
        row[places] = least_variance(matrix[np.ix_(places, places)])
    values = least_variance(inside @ matrix @ inside.T) @ inside
    note = f"{len(members)} clusters of {', '.join(str(places.size) for places in members)} assets"
    return Weights(assets=tuple(assets), values=values / values.sum(), method="nco", notes=(*notes, note))


def least_variance(covariance: FloatArray) -> FloatArray:
    """The long-only weights [A] of least variance, exact: non-negative least squares over a Cholesky factor.

    With Sigma = L L', x >= 0 that is nearest to L'x = 1 / L solves min x' Sigma x / 2 - sum x, whose ray it lies on.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import nnls

    deviation = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance / deviation / deviation[:, None])
    scale = deviation.min()
    aim = solve_triangular(factor, scale / deviation, lower=True)
    weights = nnls(factor.T, aim)[0] * scale / deviation
    return np.asarray(weights / weights.sum())
