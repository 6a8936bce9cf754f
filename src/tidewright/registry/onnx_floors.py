"""Floors as ONNX graphs: the formulas of models/floors.py, node by node, in double precision.

N windows, L lookback, H horizon, Q quantiles. NaN is a missing value, with the same rules as there.
"""

from __future__ import annotations

import numpy as np
import onnx

from tidewright.features.windows import Doubles
from tidewright.models.floors import Floor
from tidewright.models.spec import Damped, Drift, Median, Naive, Ridge, SeasonalNaive
from tidewright.registry.graph import GraphText


def to_onnx(fitted: Floor) -> onnx.ModelProto:
    """The graph of a floor: `target` [N, L] float32 to `quantiles` [N, H, Q] float32."""
    g = GraphText()
    past = g.op("Cast", "target", to=onnx.TensorProto.DOUBLE)
    point = g.op("Unsqueeze", _point(g, past, fitted=fitted), g.constant([2]))
    scale = g.op("Unsqueeze", _window_scale(g, past, fitted=fitted), g.constant([2]))
    answer = g.op("Add", point, g.op("Mul", scale, g.constant(fitted.spread[None])))
    return g.finish(
        answer,
        lookback=fitted.view.lookback,
        horizon=fitted.task.horizon,
        levels=len(fitted.task.quantiles),
    )


def _point(g: GraphText, past: str, *, fitted: Floor) -> str:
    """The point forecast [N, H]."""
    spec, horizon = fitted.spec, fitted.task.horizon
    lookback = fitted.view.lookback
    if isinstance(spec, Ridge):
        assert fitted.weights is not None
        return _ridge(g, past, weights=fitted.weights)
    if isinstance(spec, SeasonalNaive):
        return add_seasonal(g, past, period=int(spec.period or 1), lookback=lookback, horizon=horizon)
    if isinstance(spec, Damped):
        naive = add_seasonal(g, past, period=int(spec.period or 1), lookback=lookback, horizon=horizon)
        return g.op("Mul", naive, _damped_level(g, past, spec=spec, lookback=lookback))
    if isinstance(spec, Drift):
        return _drift(g, past, horizon=horizon)
    assert isinstance(spec, (Naive, Median))
    value = add_last_observed(g, past) if isinstance(spec, Naive) else _median(g, past, lookback=lookback)
    return g.op("Mul", value, g.constant(np.ones((1, horizon))))


def _seen(g: GraphText, values: str) -> str:
    return g.op("Not", g.op("IsNaN", values))


def _or_zero(g: GraphText, values: str, *, seen: str) -> str:
    return g.op("Where", seen, values, g.constant(0.0))


def _sum(g: GraphText, values: str) -> str:
    """The sum of each row [N, 1]."""
    return g.op("ReduceSum", values, g.constant([1]), keepdims=1)


def _count(g: GraphText, seen: str) -> str:
    return _sum(g, g.op("Cast", seen, to=onnx.TensorProto.DOUBLE))


def _place(g: GraphText, values: str, *, last: bool) -> str:
    """The place [N, 1, ...] of the first or the last value along axis 1 that isn't NaN."""
    seen = g.op("Cast", _seen(g, values), to=onnx.TensorProto.INT32)
    return g.op("ArgMax", seen, axis=1, keepdims=1, select_last_index=int(last))


def add_last_observed(g: GraphText, values: str) -> str:
    return g.op("GatherElements", values, _place(g, values, last=True), axis=1)


def _slice(g: GraphText, values: str, *, start: int, stop: int) -> str:
    """Columns [start, stop) of values [N, L]."""
    return g.op("Slice", values, g.constant([start]), g.constant([stop]), g.constant([1]))


def _pad(g: GraphText, values: str, *, columns: int) -> str:
    """Values [N, L] with NaN columns before them."""
    if columns == 0:
        return values
    return g.op("Pad", values, g.constant([0, columns, 0, 0]), g.constant(np.nan), mode="constant")


def _last_columns(g: GraphText, values: str, *, columns: int, lookback: int) -> str:
    """The last columns of values [N, L], with NaN before them where there are fewer."""
    last = _slice(g, values, start=max(lookback - columns, 0), stop=lookback)
    return _pad(g, last, columns=max(columns - lookback, 0))


def add_seasonal(g: GraphText, past: str, *, period: int, lookback: int, horizon: int) -> str:
    carried = _carry_forward(g, past, lookback=lookback)
    cycle = _last_columns(g, carried, columns=period, lookback=lookback)
    cycle = g.op("Where", g.op("IsNaN", cycle), add_last_observed(g, past), cycle)
    return g.op("Gather", cycle, g.constant(np.arange(horizon) % period), axis=1)


def _carry_forward(g: GraphText, past: str, *, lookback: int) -> str:
    """Each missing value replaced by the last observed one before it, looking back 1, 2, 4, ... columns in
    turn.
    """
    carried, reach = past, 1
    while reach < lookback:
        earlier = _pad(g, _slice(g, carried, start=0, stop=lookback - reach), columns=reach)
        carried = g.op("Where", g.op("IsNaN", carried), earlier, carried)
        reach *= 2
    return carried


def _damped_level(g: GraphText, past: str, *, spec: Damped, lookback: int) -> str:
    """The level [N, 1]."""
    period, recent = int(spec.period or 1), spec.recent
    both_ends = _last_columns(g, past, columns=recent + period, lookback=lookback)
    now = _slice(g, both_ends, start=period, stop=recent + period)
    before = _slice(g, both_ends, start=0, stop=recent)
    both = g.op("And", _seen(g, now), _seen(g, before))
    top, bottom = _sum(g, _or_zero(g, now, seen=both)), _sum(g, _or_zero(g, before, seen=both))
    zero, one = g.constant(0.0), g.constant(1.0)
    known = g.op("And", g.op("Greater", top, zero), g.op("Greater", bottom, zero))
    ratio = g.op("Div", g.op("Where", known, top, one), g.op("Where", known, bottom, one))
    clipped = g.op("Clip", ratio, g.constant(spec.low), g.constant(spec.high))
    return g.op("Pow", clipped, g.constant(spec.damping))


def _drift(g: GraphText, past: str, *, horizon: int) -> str:
    first, last = _place(g, past, last=False), _place(g, past, last=True)
    start, end = (g.op("GatherElements", past, place, axis=1) for place in (first, last))
    apart = g.op("Max", g.op("Sub", last, first), g.constant([1]))
    slope = g.op("Div", g.op("Sub", end, start), g.op("Cast", apart, to=onnx.TensorProto.DOUBLE))
    steps = g.constant(np.arange(1.0, horizon + 1)[None])
    return g.op("Add", end, g.op("Mul", slope, steps))


def _median(g: GraphText, past: str, *, lookback: int) -> str:
    """The median of the observed values [N, 1]; NaN where there are none."""
    seen = _seen(g, past)
    last = g.op("Where", seen, past, g.constant(np.inf))  # missing values sort behind all others
    ordered = g.op("TopK", last, g.constant([lookback]), axis=1, largest=0, sorted=1)
    count = g.op("ReduceSum", g.op("Cast", seen, to=onnx.TensorProto.INT64), g.constant([1]), keepdims=1)
    low = g.op("Max", g.op("Div", g.op("Sub", count, g.constant([1])), g.constant([2])), g.constant([0]))
    high = g.op("Min", g.op("Div", count, g.constant([2])), g.constant([lookback - 1]))
    halves = [g.op("GatherElements", ordered, place, axis=1) for place in (low, high)]
    middle = g.op("Mul", g.op("Add", *halves), g.constant(0.5))
    return g.op("Where", g.op("IsInf", middle), g.constant(np.nan), middle)


def _ridge(g: GraphText, past: str, *, weights: Doubles) -> str:
    seen = _seen(g, past)
    count = _count(g, seen)
    found = g.op("Greater", count, g.constant(0.0))
    total = _sum(g, _or_zero(g, past, seen=seen))
    mean = g.op("Where", found, g.op("Div", total, g.op("Max", count, g.constant(1.0))), g.constant(np.nan))
    inputs = _or_zero(g, g.op("Sub", past, mean), seen=seen)
    return g.op("Add", mean, g.op("MatMul", inputs, g.constant(weights)))


def _window_scale(g: GraphText, past: str, *, fitted: Floor) -> str:
    """The mean absolute difference at the seasonal lag [N, 1], falling back to lag 1, then to 0."""
    lookback = fitted.view.lookback
    scale = g.op("Mul", add_last_observed(g, past), g.constant(0.0)) if lookback < 2 else ""
    for lag in dict.fromkeys((1, fitted.season)):
        if lookback > lag:
            scale = _mean_difference(g, past, lag=lag, otherwise=scale, lookback=lookback)
    return scale


def _mean_difference(g: GraphText, past: str, *, lag: int, otherwise: str, lookback: int) -> str:
    now = _slice(g, past, start=lag, stop=lookback)
    before = _slice(g, past, start=0, stop=lookback - lag)
    steps = g.op("Abs", g.op("Sub", now, before))
    seen = _seen(g, steps)
    count = _count(g, seen)
    found = g.op("Greater", count, g.constant(0.0))
    mean = g.op("Div", _sum(g, _or_zero(g, steps, seen=seen)), g.op("Max", count, g.constant(1.0)))
    return g.op("Where", found, mean, otherwise or g.constant(0.0))
