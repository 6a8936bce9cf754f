"""Hierarchical equal risk contribution: money down the tree to its clusters, and inside each. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.allocate.clusters import cut_tree, walk_down
from tidewright.portfolio.allocate.risk import read_risk
from tidewright.portfolio.allocate.tree import Distance, Linkage, Tree, grow_tree
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.weights import Weights


def herc_weights(
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
    """Each branch of the tree gets money by the other's variance, down to the clusters; inverse variance inside.

    The variance of a branch is the sum of those of its clusters, each with its own inverse-variance weights. The tree
    is cut into `clusters` (None: counted by the gap, see `count_clusters`); `covariance` None is the sample's.
    Source: Raffinot 2018, The Hierarchical Equal Risk Contribution Portfolio, with the variance as the risk.

    >>> rng = np.random.default_rng(7)
    >>> base = rng.normal(0, 0.01, size=(500, 2))
    >>> twin = base[:, :1] + rng.normal(0, 0.001, size=(500, 1))
    >>> herc_weights(np.hstack([base, twin]), assets=("A", "B", "twin of A"), clusters=2).values.round(2)
    array([0.25, 0.5 , 0.25])
    """
    matrix, notes = read_risk(returns, assets=assets, times=times, covariance=covariance)
    tree = grow_tree(matrix, distance=distance, linkage=linkage)
    members = cut_tree(tree, clusters=clusters)
    values, risks = np.empty(len(matrix)), {}
    for node, places in members.items():
        inverse = 1.0 / np.diag(matrix)[places]
        values[places] = inverse / inverse.sum()
        risks[node] = float(values[places] @ matrix[np.ix_(places, places)] @ values[places])
    for node, share in _share_money(tree, risks=risks).items():
        values[members[node]] *= share
    note = f"{len(members)} clusters of {', '.join(str(places.size) for places in members.values())} assets"
    return Weights(assets=tuple(assets), values=values / values.sum(), method="herc", notes=(*notes, note))


def _share_money(tree: Tree, *, risks: dict[int, float]) -> dict[int, float]:
    """Each cluster's share of the money, from the root of the tree down."""
    branches = walk_down(tree, clusters=len(risks))
    total = dict(risks)
    for node, left, right in reversed(branches):
        total[node] = total[left] + total[right]
    root = branches[0][0] if branches else next(iter(risks))
    money = {root: 1.0}
    for node, left, right in branches:
        here = money.pop(node)
        share = total[right] / (total[left] + total[right])
        money[left], money[right] = here * share, here * (1.0 - share)
    return money
