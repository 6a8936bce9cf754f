"""Formulas as nodes of an ONNX graph, one adder a class of formula.

C cells, F features, Q outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from tidewright.models.forest import Forest
from tidewright.models.formula import Formula
from tidewright.models.line import REACH, Line
from tidewright.models.machine import Machine
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


def _add_machine(graph: Nodes, formula: Machine, rows: str, *, width: int) -> str:
    """See `Machine`, in float64; the squared distances as |z|^2 - 2 z v + |v|^2, so that they are one product."""
    assert width == len(formula.bias)
    row = _standardise(graph, rows, formula.centre, formula.scale)
    own = graph.add("ReduceSum", graph.add("Mul", row, row), graph.ints([1]), keepdims=1)
    cross = graph.add("MatMul", row, graph.constant(-2.0 * formula.vectors.T))
    apart = graph.add("Add", graph.add("Add", cross, own), graph.constant((formula.vectors**2).sum(axis=1)[None]))
    near = graph.add(
        "Exp", graph.add("Mul", graph.add("Max", apart, graph.number(0.0)), graph.number(-formula.gamma[0]))
    )
    answer = graph.add(
        "Add", graph.add("MatMul", near, graph.constant(formula.weights)), graph.constant(formula.bias[None])
    )
    return graph.add("Cast", answer, to=TensorProto.FLOAT)


def _standardise(graph: Nodes, rows: str, centre: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]) -> str:
    """Rows [C, F] less a centre and over a scale [F]; what is missing is 0."""
    units = graph.add("Div", graph.add("Sub", rows, graph.constant(centre[None])), graph.constant(scale[None]))
    return graph.add("Where", graph.add("IsNaN", units), graph.number(0.0), units)


def _add_line(graph: Nodes, formula: Line, rows: str, *, width: int) -> str:
    """See `Line`, in float64."""
    assert width == len(formula.bias)
    row = _standardise(graph, rows, formula.centre, formula.scale)
    held = graph.add("Min", graph.add("Max", row, graph.number(-REACH)), graph.number(REACH))
    total = graph.add("MatMul", held, graph.constant(formula.weights))
    return graph.add("Cast", graph.add("Add", total, graph.constant(formula.bias[None])), to=TensorProto.FLOAT)


ADDERS: dict[type, Adder] = {Forest: _add_forest, Machine: _add_machine, Line: _add_line}
