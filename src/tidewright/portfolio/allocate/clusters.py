"""A tree cut into clusters of assets, and how many there should be. A assets, K clusters.

The last K - 1 mergers of a tree stand above its K clusters, because mergers come in the order of their heights.
"""

from __future__ import annotations

import numpy as np

from tidewright.checks import check_whole
from tidewright.portfolio.allocate.tree import Places, Tree

_FEW = 8  # so many clusters are looked at, or the root of the number of assets where that is more


def cut_tree(tree: Tree, *, clusters: int | None) -> dict[int, Places]:
    """The members of each cluster, by its node. None counts them by the gap, see `count_clusters`."""
    size = tree.rank.size
    if clusters is not None:
        check_whole("clusters", clusters, most=size)
    count = count_clusters(tree) if clusters is None else clusters
    members = {node: np.array([asset], dtype=np.intp) for node, asset in enumerate(tree.rank)}
    for merger in range(size - count):
        left, right = _children(tree, merger=merger)
        members[size + merger] = np.concatenate([members.pop(left), members.pop(right)])
    return members


def count_clusters(tree: Tree) -> int:
    """How many clusters: where the second difference of their dispersion is largest.

    The dispersion of K clusters is the sum of the mean distances within each. Looked at are up to max(8, root of A).
    Source: Yue, Wang and Wei 2008, Application of Two-Order Difference to Gap Statistic; sums of means as in skfolio.
    """
    size = tree.rank.size
    if size < 3:
        return size
    spread = _measure_dispersion(tree)[: min(size, max(_FEW, round(size**0.5)))]
    return int(np.argmax(spread[2:] + spread[:-2] - 2.0 * spread[1:-1])) + 2


def walk_down(tree: Tree, *, clusters: int) -> list[tuple[int, int, int]]:
    """The mergers above the clusters, from the root down: node, left child, right child."""
    size = tree.rank.size
    return [(size + merger, *_children(tree, merger=merger)) for merger in range(size - 2, size - clusters - 1, -1)]


def _measure_dispersion(tree: Tree) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The sum of the clusters' mean distances with 1, 2, ... A clusters."""
    size = tree.rank.size
    places = {node: np.array([node], dtype=np.intp) for node in range(size)}
    totals, means = dict.fromkeys(range(size), 0.0), dict.fromkeys(range(size), 0.0)
    spread = np.zeros(size)
    for merger in range(size - 1):
        left, right = _children(tree, merger=merger)
        one, other = places.pop(left), places.pop(right)
        node, both = size + merger, one.size + other.size
        places[node] = np.concatenate([one, other])
        totals[node] = totals[left] + totals[right] + float(tree.apart[np.ix_(one, other)].sum())
        means[node] = totals[node] / (both * (both - 1) / 2)
        spread[size - 2 - merger] = spread[size - 1 - merger] + means[node] - means[left] - means[right]
    return spread


def _children(tree: Tree, *, merger: int) -> tuple[int, int]:
    return int(tree.links[merger, 0]), int(tree.links[merger, 1])
