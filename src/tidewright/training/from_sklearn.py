"""What scikit-learn learned, as our own arrays: trees as a `Forest`, support vectors as a `Machine`.

F features, Q outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.forest import Forest, Tree, join_trees, round_down
from tidewright.models.machine import Machine

Doubles = npt.NDArray[np.float64]


def read_trees(estimators: Sequence[Any], values: Sequence[Doubles] | None = None) -> Forest:
    """The mean of fitted scikit-learn trees. `values` are what each one's nodes say, [nodes, Q] (default: means)."""
    trees = [estimator.tree_ for estimator in estimators]
    answers = [tree.value[:, :, 0] for tree in trees] if values is None else values
    read = [_read_tree(tree, answer / len(trees)) for tree, answer in zip(trees, answers, strict=True)]
    return join_trees(read, [0] * len(trees))


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


def read_margins(machines: Sequence[Any], rows: Doubles, *, centre: Doubles, scale: Doubles) -> Machine:
    """The machine of fitted `SVC`s, each of a class against the rest, that learned from the same rows [C, F], in units
    of `centre` and `scale` [F]. One alone is of two classes: of the second, and turned over of the first.
    """
    kept = np.unique(np.concatenate([one.support_ for one in machines]))
    weights = np.zeros((len(kept), len(machines)))
    for place, one in enumerate(machines):
        weights[np.searchsorted(kept, one.support_), place] = one.dual_coef_[0]
    bias = np.array([one.intercept_[0] for one in machines])
    if len(machines) == 1:
        weights, bias = np.hstack([-weights, weights]), np.append(-bias, bias)
    return Machine(
        vectors=np.ascontiguousarray(rows[kept], dtype=np.float64),
        weights=weights,
        bias=bias,
        gamma=np.array([machines[0].gamma], dtype=np.float64),
        centre=centre,
        scale=scale,
    )


def _read_tree(tree: Any, values: Doubles) -> Tree:
    """One tree's nodes; scikit-learn writes a leaf's children as -1, and its threshold is in float64."""
    leaf = tree.children_left < 0
    return Tree(
        feature=np.where(leaf, -1, tree.feature).astype(np.int32),
        threshold=np.where(leaf, np.float32(0.0), round_down(np.where(leaf, 0.0, tree.threshold))),
        left=np.where(leaf, 0, tree.children_left).astype(np.int32),
        right=np.where(leaf, 0, tree.children_right).astype(np.int32),
        absent_left=(tree.missing_go_to_left > 0) & ~leaf,
        value=np.where(leaf[:, None], values, 0.0),
    )
