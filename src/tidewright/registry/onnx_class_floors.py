"""Floors of classes as ONNX graphs: the table of models/class_floors, looked up.

N windows, L lookback, H horizon, K classes.
"""

from __future__ import annotations

import numpy as np
import onnx

from tidewright.models.class_floors import ClassFloor
from tidewright.models.specs.class_floors import SeasonalClass
from tidewright.registry.graph import GraphText
from tidewright.registry.graph_names import PROBABILITIES
from tidewright.registry.onnx_floors import add_last_observed, add_seasonal


def to_onnx(fitted: ClassFloor) -> onnx.ModelProto:
    """The graph of a floor: `target` [N, L] float32 to `probabilities` [N, H, K] float32."""
    g, horizon, lookback = GraphText(), fitted.task.horizon, fitted.view.lookback
    past = g.op("Cast", "target", to=onnx.TensorProto.DOUBLE)
    if isinstance(fitted.spec, SeasonalClass):
        period = fitted.spec.period or fitted.season
        looked = add_seasonal(g, past, period=period, lookback=lookback, horizon=horizon)
    else:
        looked = g.op("Mul", add_last_observed(g, past), g.constant(np.ones((1, horizon))))
    classes = float(len(fitted.task.classes))
    inside = g.op("And", g.op("GreaterOrEqual", looked, g.constant(0.0)), g.op("Less", looked, g.constant(classes)))
    place = g.op("Cast", g.op("Where", inside, looked, g.constant(classes)), to=onnx.TensorProto.INT64)
    rows = fitted.table.shape[1]
    place = g.op("Add", place, g.constant((np.arange(horizon) * rows)[None]))
    answer = g.op("Gather", g.constant(fitted.table.reshape(horizon * rows, -1)), place, axis=0)
    return g.finish(answer, lookback=lookback, horizon=horizon, levels=int(classes), output=PROBABILITIES)
