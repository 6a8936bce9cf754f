"""Forests with sets of levels as nodes of a graph: as columns, and as chains of equalities."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.training.test_boosters import GOALS, draw_features, every_library, learned
from tidewright.models.forest import Forest
from tidewright.registry import onnx_formulas
from tidewright.registry.graph import IR_VERSION, OPSET
from tidewright.registry.nodes import Nodes


def answer(forest: Forest, rows: np.ndarray, *, width: int) -> np.ndarray:
    """What the graph of a forest says of rows."""
    graph = Nodes()
    graph.add("Identity", onnx_formulas.add_formula(graph, forest, "rows", width=width), name="answer")
    given = helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["N", rows.shape[1]])
    asked = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", width])
    made = helper.make_graph(graph.nodes, "one", [given], [asked], graph.constants)
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(made, opset_imports=domains, ir_version=IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"rows": rows.astype(np.float64)})[0])


@every_library
@pytest.mark.parametrize("goal", ["quantiles", "mean"])
@pytest.mark.parametrize("columns", [0, 10**6])
def test_sets_of_levels_take_the_same_branches_in_a_graph(library, goal, columns, monkeypatch):
    monkeypatch.setattr(onnx_formulas, "COLUMNS", columns)
    forest, width = learned(library, goal)[0].formula, len(GOALS[goal])
    rows = draw_features(count=3000, seed=11, absent=0.2, unseen=True)
    eager = forest.predict(rows, width=width)
    np.testing.assert_allclose(answer(forest, rows, width=width), eager, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [0, 10**6])
def test_a_level_beyond_all_sets_and_a_set_without_levels_go_right(columns, monkeypatch):
    monkeypatch.setattr(onnx_formulas, "COLUMNS", columns)
    whole = [np.array(numbers, dtype=np.int32) for numbers in ([0, -1, -1], [1, 0, 0], [2, 0, 0], [0], [0])]
    for members in (np.zeros((1, 1), dtype=np.uint8), np.array([[1]], dtype=np.uint8)):
        forest = Forest(
            feature=whole[0],
            threshold=np.zeros(3, dtype=np.float32),
            left=whole[1],
            right=whole[2],
            absent_left=np.zeros(3, dtype=np.bool_),
            value=np.array([0.0, 1.0, 2.0]),
            roots=whole[3],
            outputs=whole[4],
            sets=np.array([0, -1, -1], dtype=np.int32),
            members=members,
        )
        rows = np.array([[0.0], [1.0], [7.0], [8.0], [70.0], [np.nan]], dtype=np.float32)
        expected = [1.0 if members.any() else 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
        assert forest.predict(rows, width=1)[:, 0].tolist() == expected
        assert answer(forest, rows, width=1)[:, 0].tolist() == expected
