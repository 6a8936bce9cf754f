"""Formulas as nodes of an ONNX graph, one adder a class of formula.

C cells, F features, Q outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from tidewright.models.abreast import Abreast
from tidewright.models.by_step import ByStep
from tidewright.models.forest import Forest
from tidewright.models.formula import Formula
from tidewright.models.line import REACH, Line
from tidewright.models.machine import Machine
from tidewright.registry.nodes import Nodes

Adder = Callable[..., str]  # (nodes, formula, rows [C, F] float64, *, width) gives the outputs [C, Q] float32
NOWHERE = 2**31  # a level that there is not: where a set has none
COLUMNS = 256  # so many different sets of levels become columns; more of them chains of equalities, one a node


def add_formula(graph: Nodes, formula: Formula, rows: str, *, width: int) -> str:
    """The outputs [C, Q], float32, of a formula for rows [C, F], which are float32 values in float64."""
    return ADDERS[type(formula)](graph, formula, rows, width=width)


def _add_forest(graph: Nodes, formula: Forest, rows: str, *, width: int) -> str:
    if 0 < len(formula.members) <= COLUMNS and formula.sets.size:
        formula, rows = _to_columns(graph, formula, rows)
    attributes = _forest_attributes(formula, width)
    return graph.add("TreeEnsembleRegressor", rows, domain="ai.onnx.ml", **attributes)


def _to_columns(graph: Nodes, forest: Forest, rows: str) -> tuple[Forest, str]:
    """The forest whose sets are columns before its rows: 0 for a level that goes left, 1 for others, NaN for none."""
    nodes = np.flatnonzero(forest.sets >= 0)
    pairs, place = np.unique(np.column_stack([forest.feature, forest.sets])[nodes], axis=0, return_inverse=True)
    inside = np.unpackbits(forest.members, axis=1, bitorder="little").astype(np.float64)
    parts = []
    for feature in np.unique(pairs[:, 0]):
        table = 1.0 - inside[pairs[pairs[:, 0] == feature, 1]].T
        beyond, absent = np.ones((1, table.shape[1])), np.full((1, table.shape[1]), np.nan)
        table = np.vstack([table, beyond, absent])
        level = graph.add("Gather", rows, graph.constant(np.array(feature, dtype=np.int64)), axis=1)
        held = graph.add("Min", level, graph.number(len(table) - 2.0))
        known = graph.add("Where", graph.add("IsNaN", level), graph.number(len(table) - 1.0), held)
        parts.append(graph.add("Gather", graph.constant(table), graph.add("Cast", known, to=TensorProto.INT64), axis=0))
    feature = np.where(forest.feature >= 0, forest.feature + len(pairs), -1).astype(np.int32)
    threshold = forest.threshold.copy()
    feature[nodes], threshold[nodes] = place.reshape(-1), 0.5
    plain = replace(forest, feature=feature, threshold=threshold, sets=np.zeros(0, dtype=np.int32))
    return plain, graph.add("Concat", *parts, rows, axis=1)


def _forest_attributes(forest: Forest, width: int) -> dict[str, Any]:
    """The forest in the words of TreeEnsembleRegressor, whose places count from each tree's root.

    A set of levels is a chain of equalities: each leads to the left child, the last of them else to the right one.
    """
    owner, level, last = _chain(forest)
    first = np.searchsorted(owner, np.arange(len(forest.feature)))  # where each node stands among the chains' nodes
    tree = np.searchsorted(forest.roots, owner, side="right") - 1
    start = first[forest.roots][tree]
    leaf = forest.feature[owner] < 0
    beyond = np.where(last, first[forest.right[owner]], np.arange(len(owner)) + 1)
    values = forest.value.reshape(len(forest.feature), -1)[owner[leaf]]
    column = np.tile(np.arange(values.shape[1]), len(values))
    repeat = values.shape[1]
    return {
        "n_targets": width,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": (np.arange(len(owner)) - start).tolist(),
        "nodes_featureids": np.where(leaf, 0, forest.feature[owner]).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", np.where(level >= 0, "BRANCH_EQ", "BRANCH_LEQ")).tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(
            np.where(level >= 0, level, forest.threshold[owner]).astype(np.float64)
        ),
        "nodes_truenodeids": np.where(leaf, 0, first[forest.left[owner]] - start).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, beyond - start).tolist(),
        "nodes_missing_value_tracks_true": (forest.absent_left[owner] & ~leaf).astype(np.int64).tolist(),
        "target_treeids": np.repeat(tree[leaf], repeat).tolist(),
        "target_nodeids": np.repeat((np.arange(len(owner)) - start)[leaf], repeat).tolist(),
        "target_ids": (np.repeat(forest.outputs[tree[leaf]], repeat) + column).tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(values.reshape(-1)),
    }


def _chain(forest: Forest) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The nodes of a graph: whose part each is, the level that it compares with (-1: none), and whether it is the last
    of its node's."""
    size = len(forest.feature)
    if not forest.sets.size:
        return np.arange(size), np.full(size, -1), np.ones(size, dtype=np.bool_)
    inside = np.unpackbits(forest.members, axis=1, bitorder="little").astype(np.bool_)
    own = [np.flatnonzero(inside[place]) if place >= 0 else np.array([-1]) for place in forest.sets]
    own = [levels if len(levels) else np.array([NOWHERE]) for levels in own]
    counts = np.array([len(levels) for levels in own])
    last = np.zeros(counts.sum(), dtype=np.bool_)
    last[np.cumsum(counts) - 1] = True
    return np.repeat(np.arange(size), counts), np.concatenate(own), last


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


def _add_by_step(graph: Nodes, formula: ByStep, rows: str, *, width: int) -> str:
    """Rows stand by window, and within a window by step."""
    horizon, parts = len(formula.formulas), []
    for step, one in enumerate(formula.formulas):
        cut = (graph.ints([number]) for number in (step, np.iinfo(np.int64).max, 0, horizon))
        answer = add_formula(graph, one, graph.add("Slice", rows, *cut), width=width)
        parts.append(graph.add("Unsqueeze", answer, graph.ints([1])))
    whole = graph.add("Concat", *parts, axis=1) if horizon > 1 else parts[0]
    return graph.add("Reshape", whole, graph.ints([-1, width]))


def _add_abreast(graph: Nodes, formula: Abreast, rows: str, *, width: int) -> str:
    """Rows stand by window, and within a window by step."""
    assert width == 1
    first, step, end = (graph.ints([number]) for number in (0, formula.horizon, np.iinfo(np.int64).max))
    shared, along = graph.ints([formula.shared]), graph.ints([1])
    window = graph.add("Slice", graph.add("Slice", rows, first, end, first, step), first, shared, along)
    own = graph.add("Slice", rows, shared, end, along)
    size = graph.add("Concat", graph.add("Slice", graph.add("Shape", window), first, along), graph.ints([-1]), axis=0)
    wide = graph.add("Concat", window, graph.add("Reshape", own, size), axis=1)
    answer = add_formula(graph, formula.formula, wide, width=formula.horizon)
    return graph.add("Reshape", answer, graph.ints([-1, 1]))


ADDERS: dict[type, Adder] = {
    Abreast: _add_abreast,
    ByStep: _add_by_step,
    Forest: _add_forest,
    Machine: _add_machine,
    Line: _add_line,
}
