"""An estimator as an ONNX graph, from the features of series to estimates with their interval.

S series, F features. The shape table itself is not in the graph: its lengths differ from series to series.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper

from tidewright.models.estimator import LEAST_MEASURED, Estimator
from tidewright.registry.graph import IR_VERSION, OPSET
from tidewright.registry.nodes import Nodes
from tidewright.registry.onnx_formulas import add_formula
from tidewright.registry.onnx_trees import ML_OPSET

FEATURES, ESTIMATES = "features", "estimates"


def estimator_to_onnx(estimator: Estimator) -> Any:
    """The ModelProto: `features` [S, F] (NaN: missing) to `estimates` [S, 3] (estimate, lower, upper), both float32."""
    graph, width = Nodes(), len(estimator.features)
    rows = graph.add("Cast", FEATURES, to=TensorProto.DOUBLE)
    point = graph.add("Cast", add_formula(graph, estimator.formula, rows, width=1), to=TensorProto.DOUBLE)
    ends = graph.add("Add", point, graph.constant(np.array([[0.0, *estimator.offsets]])))
    seen = graph.add("Cast", graph.add("Not", graph.add("IsNaN", rows)), to=TensorProto.DOUBLE)
    count = graph.add("ReduceSum", seen, graph.ints([1]), keepdims=1)
    enough = graph.add("GreaterOrEqual", count, graph.number(LEAST_MEASURED * width))
    answer = graph.add("Where", enough, ends, graph.number(np.nan))
    graph.add("Cast", answer, to=TensorProto.FLOAT, name=ESTIMATES)
    made = helper.make_graph(
        graph.nodes,
        "tidewright_estimator",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(ESTIMATES, TensorProto.FLOAT, ["N", 3])],
        graph.constants,
    )
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(made, opset_imports=domains, ir_version=IR_VERSION, producer_name="tidewright")
    checker.check_model(model, full_check=True)
    return model
