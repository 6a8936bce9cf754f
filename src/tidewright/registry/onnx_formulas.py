"""Formulas as nodes of an ONNX graph, one adder a class of formula.

C cells, F features, Q outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import numpy_helper

from tidewright.models.forest import Forest
from tidewright.models.formula import Formula
from tidewright.registry.nodes import Nodes

Adder = Callable[..., str]  # (nodes, formula, rows [C, F] float64, *, width) gives the outputs [C, Q] float32


def add_formula(graph: Nodes, formula: Formula, rows: str, *, width: int) -> str:
    """The outputs [C, Q], float32, of a formula for rows [C, F], which are float32 values in float64."""
    return ADDERS[type(formula)](graph, formula, rows, width=width)


def _add_forest(graph: Nodes, formula: Forest, rows: str, *, width: int) -> str:
    attributes = _forest_attributes(formula, width)
    return graph.add("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", **attributes)


def _forest_attributes(forest: Forest, width: int) -> dict[str, Any]:
    """The forest in the words of TreeEnsembleRegressor, whose places count from each tree's root."""
    size = len(forest.feature)
    tree = np.searchsorted(forest.roots, np.arange(size), side="right") - 1
    place = np.arange(size) - forest.roots[tree]
    leaf = forest.feature < 0
    return {
        "n_targets": width,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": place.tolist(),
        "nodes_featureids": np.where(leaf, 0, forest.feature).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(forest.threshold.astype(np.float64)),
        "nodes_truenodeids": np.where(leaf, 0, forest.left - forest.roots[tree]).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, forest.right - forest.roots[tree]).tolist(),
        "nodes_missing_value_tracks_true": (forest.absent_left & ~leaf).astype(np.int64).tolist(),
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": place[leaf].tolist(),
        "target_ids": forest.outputs[tree[leaf]].tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(forest.value[leaf]),
    }


ADDERS: dict[type, Adder] = {Forest: _add_forest}
