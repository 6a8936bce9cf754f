"""Rules that turn past returns [T, A] into weights: hierarchical risk parity and its two floors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.catalog import Catalog, Entry
from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, read_assets, read_returns
from tidewright.portfolio.weights import Weights


class Rule(Protocol):
    """What every allocation rule is: past returns [T, A] in, weights of the same assets out."""

    def __call__(self, returns: ArrayLike, /, *, assets: Sequence[str], times: ArrayLike | None = None) -> Weights: ...


RULES = Catalog(
    "allocation rule",
    [
        Entry("hrp", f"{__name__}:hrp_weights", "hierarchical risk parity, Lopez de Prado 2016"),
        Entry("inverse_variance", f"{__name__}:inverse_variance_weights", "one over the variance"),
        Entry("equal", f"{__name__}:equal_weights", "the same weight for every asset"),
    ],
)


def equal_weights(
    returns: ArrayLike | None = None, /, *, assets: Sequence[str], times: ArrayLike | None = None
) -> Weights:
    """The same weight for every asset. Returns are not needed; where given, they are checked.

    >>> equal_weights(assets=("A", "B", "C", "D")).values
    array([0.25, 0.25, 0.25, 0.25])
    """
    names = read_assets(assets, columns=len(tuple(assets)))
    if returns is not None:
        read_returns(returns, assets=names, times=times)
    return Weights(assets=names, values=np.full(len(names), 1.0 / len(names)), method="equal")


def inverse_variance_weights(
    returns: ArrayLike, /, *, assets: Sequence[str], times: ArrayLike | None = None
) -> Weights:
    """Weights in proportion to one over the sample variance (ddof = 1), correlations ignored.

    >>> inverse_variance_weights([[0.1, 0.2], [-0.1, -0.2]], assets=("calm", "wild")).values.round(6)
    array([0.8, 0.2])
    """
    values = read_returns(returns, assets=assets, times=times)
    inverse = 1.0 / np.diag(_estimate_covariance(values, assets=assets))
    return Weights(assets=tuple(assets), values=inverse / inverse.sum(), method="inverse_variance")


def hrp_weights(returns: ArrayLike, /, *, assets: Sequence[str], times: ArrayLike | None = None) -> Weights:
    """Hierarchical risk parity: cluster the assets, order them by the tree, split the money down the halves.

    Distance sqrt((1 - rho) / 2), single linkage on the Euclidean distance between the columns of the
    distance matrix, quasi-diagonal order, recursive bisection with inverse-variance cluster variances;
    sample covariance. The paper leaves open which of two single assets that merge stands first (its code:
    the one that came first in the table). Here it is the one with the lower variance, so that the table's
    column order has no influence. Source: Lopez de Prado 2016, Building Diversified Portfolios that
    Outperform Out of Sample.

    >>> rng = np.random.default_rng(7)
    >>> base = rng.normal(0, 0.01, size=(500, 2))
    >>> twin = base[:, :1] + rng.normal(0, 0.001, size=(500, 1))
    >>> hrp_weights(np.hstack([base, twin]), assets=("A", "B", "twin of A")).values.round(2)
    array([0.25, 0.5 , 0.25])
    """
    values = read_returns(returns, assets=assets, times=times)
    covariance = _estimate_covariance(values, assets=assets)
    order = _order_by_tree(covariance)
    return Weights(assets=tuple(assets), values=_bisect(covariance, order=order), method="hrp")


def _estimate_covariance(values: FloatArray, *, assets: Sequence[str]) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = np.atleast_2d(np.cov(values, rowvar=False))
    variance = np.diag(covariance)
    wrong = np.flatnonzero(~np.isfinite(variance) | (variance <= np.finfo(np.float64).tiny))
    if wrong.size:
        asset = int(wrong[0])
        raise AllocationError(
            f"the variance of {tuple(assets)[asset]!r} is {variance[asset]:g}: its returns reach "
            f"{np.abs(values[:, asset]).max():g}, too far from 1 to be squared. Mend them or leave the "
            "asset out."
        )
    return covariance


def _order_by_tree(covariance: FloatArray) -> NDArray[np.intp]:
    """The quasi-diagonal order of the assets: the leaves of the single-linkage tree from left to right."""
    from scipy.cluster.hierarchy import leaves_list, linkage  # 0.3 s to import
    from scipy.spatial.distance import pdist

    variance = np.diag(covariance)
    if variance.size == 1:
        return np.zeros(1, dtype=np.intp)
    # the tree puts the lower number first where two single assets merge, so number them by variance
    rank = np.argsort(variance, kind="stable")
    deviation = np.sqrt(variance[rank])
    correlation = np.clip(covariance[np.ix_(rank, rank)] / np.outer(deviation, deviation), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    distance = np.sqrt((1.0 - correlation) / 2.0)
    leaves: NDArray[np.intp] = rank[leaves_list(linkage(pdist(distance), method="single"))]
    return leaves


def _bisect(covariance: FloatArray, *, order: NDArray[np.intp]) -> FloatArray:
    """Split the ordered assets into halves again and again, each half getting money by the other's "
    "variance."""
    weights = np.ones(order.size)
    clusters = [order]
    while clusters:
        cluster = clusters.pop()
        if cluster.size < 2:
            continue
        left, right = cluster[: cluster.size // 2], cluster[cluster.size // 2 :]
        variances = [_cluster_variance(covariance[np.ix_(half, half)]) for half in (left, right)]
        share = 1.0 - variances[0] / (variances[0] + variances[1])
        weights[left] *= share
        weights[right] *= 1.0 - share
        clusters += [left, right]
    weights /= weights.sum()
    return weights


def _cluster_variance(covariance: FloatArray) -> float:
    inverse = 1.0 / np.diag(covariance)
    weights = inverse / inverse.sum()
    return float(weights @ covariance @ weights)
