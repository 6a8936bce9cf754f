"""The tree of assets that hierarchical rules go down: who moves with whom. A assets, K clusters.

Nodes are numbered as SciPy does: assets by variance from 0 to A - 1, the m-th merger A + m. The numbering by variance
makes the tree the same in whatever order the table's columns stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.covariance.record import to_correlation
from tidewright.portfolio.inputs import FloatArray

Distance = Literal["columns", "plain"]
Linkage = Literal["single", "complete", "average", "ward"]
Places = NDArray[np.intp]

_LINKAGES = ("single", "complete", "average", "ward")


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """`links` [A - 1, 4] as SciPy's linkage, over assets in the order `rank` [A]; `apart` [A, A] is their distance."""

    links: FloatArray
    rank: Places
    apart: FloatArray


def grow_tree(covariance: FloatArray, *, distance: Distance, linkage: Linkage) -> Tree:
    """Assets merged by sqrt((1 - rho) / 2) ("plain") or by the Euclidean distance between its columns ("columns")."""
    from scipy.cluster.hierarchy import linkage as link  # 0.3 s to import
    from scipy.spatial.distance import pdist, squareform

    if distance not in ("columns", "plain"):
        raise AllocationError(f"distance is columns or plain; got {distance!r}.")
    if linkage not in _LINKAGES:
        raise AllocationError(f"linkage is {', '.join(_LINKAGES)}; got {linkage!r}.")
    rank = np.argsort(np.diag(covariance), kind="stable")
    if rank.size == 1:
        return Tree(links=np.empty((0, 4)), rank=rank, apart=np.zeros((1, 1)))
    correlation = np.clip(to_correlation(covariance[np.ix_(rank, rank)]), -1.0, 1.0)
    apart = np.sqrt((1.0 - correlation) / 2.0)
    pairs = pdist(apart) if distance == "columns" else squareform(apart, checks=False)
    return Tree(links=link(pairs, method=linkage), rank=rank, apart=apart)


def order_leaves(tree: Tree) -> Places:
    """The quasi-diagonal order: the leaves of the tree from left to right."""
    from scipy.cluster.hierarchy import leaves_list

    if tree.rank.size == 1:
        return np.zeros(1, dtype=np.intp)
    leaves: Places = tree.rank[leaves_list(tree.links)]
    return leaves
