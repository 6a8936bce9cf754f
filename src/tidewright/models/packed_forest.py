"""A forest's nodes as they are walked: eight bytes each, in the order of their levels, siblings side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


class Packed(NamedTuple):
    """What the compiled walks take; the trees stand in the order of their depths, so that those of eight are alike.

    A record of `nodes` has its threshold, its feature and how far on its left child stands, negative where NaN goes
    right; the right child is the next. A leaf is a split that every value passes to the leaf itself. A row of `trees`
    has its root, its depth and the output that it adds to.
    """

    nodes: npt.NDArray[np.void]
    values: Doubles
    trees: Places


def pack(forest: Any) -> Packed:
    """The nodes of a `Forest` without splits of categories."""
    ids, trees, depths = _by_level(forest)
    rank = np.empty(len(forest.roots), dtype=np.int64)  # of each tree, by depth
    order = np.argsort(depths, kind="stable")
    rank[order] = np.arange(len(order))
    ids = ids[np.argsort(rank[trees], kind="stable")]  # tree by tree, each level by level
    place = np.empty(len(forest.feature), dtype=np.int64)
    place[ids] = np.arange(len(ids))
    inner = forest.feature[ids] >= 0
    ahead = np.where(inner, place[forest.left[ids]] - np.arange(len(ids)), 0)
    widest = max(int(ahead.max()), int(forest.feature.max()) + 1)
    place_type, step_type = (np.uint16, np.int16) if widest <= np.iinfo(np.int16).max else (np.uint32, np.int32)
    nodes = np.empty(len(ids), dtype=[("threshold", np.float32), ("feature", place_type), ("ahead", step_type)])
    nodes["threshold"] = np.where(inner, forest.threshold[ids], np.inf)
    nodes["feature"] = np.where(inner, forest.feature[ids], 0)
    nodes["ahead"] = np.where(forest.absent_left[ids], ahead, -ahead)
    values = np.ascontiguousarray(forest.value.reshape(len(forest.feature), -1)[ids])
    trees = np.column_stack([place[forest.roots[order]], depths[order], forest.outputs[order]])
    return Packed(nodes, values, trees)


def _by_level(forest: Any) -> tuple[Places, Places, Places]:
    """Every node level by level, children in their parents' order; the tree of each; how deep each tree is."""
    level, trees = forest.roots.astype(np.int64), np.arange(len(forest.roots))
    found, owners, depths = [], [], np.zeros(len(forest.roots), dtype=np.int64)
    depth = 0
    while len(level):
        found.append(level)
        owners.append(trees)
        depths[trees] = depth
        inner = forest.feature[level] >= 0
        level, trees = level[inner], np.repeat(trees[inner], 2)
        level = np.column_stack([forest.left[level], forest.right[level]]).ravel().astype(np.int64)
        depth += 1
    return np.concatenate(found), np.concatenate(owners), depths
