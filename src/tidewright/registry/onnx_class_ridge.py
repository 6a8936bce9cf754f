"""Ridge of classes as an ONNX graph: models/class_ridge, node by node, in double precision.

N windows, L lookback, H horizon, K classes, k columns that tell the class of a row.
"""

from __future__ import annotations

import numpy as np
import onnx

from tidewright.models.class_inputs import told_classes
from tidewright.models.class_ridge import ClassRidge
from tidewright.registry.graph import GraphText
from tidewright.registry.graph_names import PROBABILITIES


def to_onnx(fitted: ClassRidge) -> onnx.ModelProto:
    """The graph of a ridge: `target` [N, L] float32 to `probabilities` [N, H, K] float32."""
    g, horizon, classes = GraphText(), fitted.task.horizon, fitted.task.width
    past = g.op("Unsqueeze", g.op("Cast", "target", to=onnx.TensorProto.DOUBLE), g.constant([2]))
    labels = np.array(told_classes(classes), dtype=np.float64)[None, None]
    ones = g.op("Cast", g.op("Equal", past, g.constant(labels)), to=onnx.TensorProto.DOUBLE)
    told = g.op("Where", g.op("IsNaN", past), g.constant(fitted.shares[None, None]), ones)
    rows = g.op("Reshape", told, g.constant([-1, len(fitted.weights)]))
    margins = g.op("Add", g.op("MatMul", rows, g.constant(fitted.weights)), g.constant(fitted.bias[None]))
    answer = g.op("Softmax", g.op("Reshape", margins, g.constant([-1, horizon, classes])), axis=2)
    return g.finish(answer, lookback=fitted.view.lookback, horizon=horizon, levels=classes, output=PROBABILITIES)
