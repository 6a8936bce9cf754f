"""Hierarchical risk parity: money down the halves of an ordered tree. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.allocate.risk import read_risk
from tidewright.portfolio.allocate.tree import Distance, Linkage, grow_tree, order_leaves
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.weights import Weights


def hrp_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    distance: Distance = "columns",
    linkage: Linkage = "single",
) -> Weights:
    """Hierarchical risk parity: cluster the assets, order them by the tree, split the money down the halves.

    Distance sqrt((1 - rho) / 2), linkage on the Euclidean distance between the columns of the distance matrix
    (`distance` "plain": on the distance itself, as most libraries do), quasi-diagonal order, recursive bisection with
    inverse-variance cluster variances. `covariance` is a method, a `Covariance`, or None for the sample's, which needs
    no repair here. The paper leaves open which of two single assets that merge stands first (its code: the one that
    came first in the table). Here it is the one with the lower variance, so that the table's column order has no
    influence. Source: Lopez de Prado 2016, Building Diversified Portfolios that Outperform Out of Sample.

    >>> rng = np.random.default_rng(7)
    >>> base = rng.normal(0, 0.01, size=(500, 2))
    >>> twin = base[:, :1] + rng.normal(0, 0.001, size=(500, 1))
    >>> hrp_weights(np.hstack([base, twin]), assets=("A", "B", "twin of A")).values.round(2)
    array([0.25, 0.5 , 0.25])
    """
    matrix, notes = read_risk(returns, assets=assets, times=times, covariance=covariance)
    order = order_leaves(grow_tree(matrix, distance=distance, linkage=linkage))
    values = np.empty(order.size)
    values[order] = bisect(matrix[np.ix_(order, order)])
    return Weights(assets=tuple(assets), values=values, method="hrp", notes=notes)


def bisect(covariance: FloatArray) -> FloatArray:
    """Split assets in their order into halves again and again, each half getting money by the other's variance."""
    weights = np.ones(len(covariance))
    inverse = 1.0 / np.diag(covariance)
    clusters = [(0, len(covariance))]
    while clusters:
        start, end = clusters.pop()
        if end - start < 2:
            continue
        middle = (start + end) // 2
        left, right = slice(start, middle), slice(middle, end)
        variances = [_cluster_variance(covariance[half, half], inverse=inverse[half]) for half in (left, right)]
        share = 1.0 - variances[0] / (variances[0] + variances[1])
        weights[left] *= share
        weights[right] *= 1.0 - share
        clusters += [(start, middle), (middle, end)]
    weights /= weights.sum()
    return weights


def _cluster_variance(covariance: FloatArray, *, inverse: FloatArray) -> float:
    weights = inverse / inverse.sum()
    return float(weights @ covariance @ weights)
