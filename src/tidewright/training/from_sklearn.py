"""What scikit-learn learned, as our own arrays: trees as a `Forest`, support vectors as a `Machine`.

F features, Q outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.forest import Forest, round_down
from tidewright.models.machine import Machine

Doubles = npt.NDArray[np.float64]


def read_trees(estimators: Sequence[Any], values: Sequence[Doubles] | None = None) -> Forest:
    """The mean of fitted scikit-learn trees.

    `values` are the answers of each tree's nodes, [nodes, Q] (default: the tree's own means, one output): every output
    has its own copy of a tree.
    """
    trees = [estimator.tree_ for estimator in estimators]
    answers = [tree.value[:, :, 0] for tree in trees] if values is None else values
    width = answers[0].shape[1]
    sizes = np.repeat([tree.node_count for tree in trees], width)
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for tree, answer in zip(trees, answers, strict=True):
        parts += [_read_tree(tree, answer[:, q] / len(trees), root=int(roots[len(parts) + q])) for q in range(width)]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Forest(**arrays, roots=roots, outputs=np.tile(np.arange(width, dtype=np.int32), len(trees)))


def read_machine(machine: Any, *, centre: Doubles, scale: Doubles, level: float, spread: float) -> Machine:
    """The machine of a fitted `SVR` whose rows were in units of `centre` and `scale` [F], its labels less `level` over
    `spread`.
    """
    return Machine(
        vectors=np.ascontiguousarray(machine.support_vectors_, dtype=np.float64),
        weights=np.ascontiguousarray(machine.dual_coef_.T * spread, dtype=np.float64),
        bias=np.asarray(machine.intercept_ * spread + level, dtype=np.float64),
        gamma=np.array([machine.gamma], dtype=np.float64),
        centre=centre,
        scale=scale,
    )


def _read_tree(tree: Any, value: Doubles, *, root: int) -> dict[str, npt.NDArray[Any]]:
    """One tree's nodes; scikit-learn writes a leaf's children as -1, and its threshold is in float64."""
    leaf = tree.children_left < 0
    return {
        "feature": np.where(leaf, -1, tree.feature).astype(np.int32),
        "threshold": np.where(leaf, np.float32(0.0), round_down(np.where(leaf, 0.0, tree.threshold))),
        "left": np.where(leaf, 0, tree.children_left + root).astype(np.int32),
        "right": np.where(leaf, 0, tree.children_right + root).astype(np.int32),
        "absent_left": (tree.missing_go_to_left > 0) & ~leaf,
        "value": np.where(leaf, value, 0.0),
    }
