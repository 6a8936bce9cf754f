"""Parity: how far a graph's answers are from the eager model's, which is a condition of export.

The difference of two answers is taken relative to the window: to the largest eager answer in size over its
steps and quantiles, or the standard deviation of its observed values where that is larger. A quantile that
happens to be near zero is so not asked for more digits than the float32 sums that it came from have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from tidewright.errors import ParityError
from tidewright.features.windows import Batch, Singles
from tidewright.models.fitted import Fitted
from tidewright.models.spec import kind_of
from tidewright.registry.graph import INPUTS, OUTPUT
from tidewright.registry.manifest import Parity
from tidewright.registry.trial_windows import hard_windows, to_windows

LIMITS = {"floor": 1e-5, "torch": 1e-5, "trees": 1e-5}


def check_parity(fitted: Fitted, graph: bytes, *, real: Batch) -> Parity:
    """The parity of a graph with its model on real windows and hard ones. Raises `ParityError` beyond the
    limit.
    """
    session = open_graph(graph)
    limit, worst, where, count = LIMITS[kind_of(fitted.spec)], 0.0, "real windows", 0
    for name, batch in (("real windows", real), *hard_windows(real)):
        eager = fitted.predict(to_windows(batch, horizon=fitted.task.horizon))
        figure = relative_difference(run_graph(session, batch), eager, target=batch.target)
        count += len(batch.target)
        if figure > worst:
            worst, where = figure, name
    if not worst <= limit:
        raise ParityError(
            f"the ONNX graph of '{fitted.spec.name}' differs from the eager model by {worst:.3g} (relative) "
            f"on {where}; "
            f"{limit:g} is allowed. The bundle was not written; keep the eager model, or report this "
            "model's spec."
        )
    return Parity(worst, limit, count, where)


def relative_difference(ours: npt.NDArray[Any], eager: npt.NDArray[Any], *, target: Singles) -> float:
    """The largest |ours - eager| / max(|answers of the window|, its scale); infinite where only one of the
    two is NaN.
    """
    missing = np.isnan(eager)
    if ours.shape != eager.shape or not np.array_equal(missing, np.isnan(ours)):
        return float("inf")
    seen = ~np.isnan(target)
    count = np.maximum(seen.sum(axis=1), 1)
    values = np.where(seen, target, 0.0).astype(np.float64)
    mean = values.sum(axis=1) / count
    scale = np.sqrt((np.where(seen, values - mean[:, None], 0.0) ** 2).sum(axis=1) / count)
    answers = np.where(missing, 0.0, np.abs(eager)).max(axis=(1, 2))
    size = np.maximum(answers, scale)[:, None, None]
    apart = np.abs(ours.astype(np.float64) - eager)
    share = np.where(apart == 0, 0.0, apart / np.where(size > 0, size, np.finfo(np.float32).tiny))
    return float(np.max(share, where=~missing, initial=0.0))


def open_graph(graph: bytes, *, threads: int = 1) -> ort.InferenceSession:
    """An ONNX Runtime session on the CPU that never spins while it waits and logs nothing but errors."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run_graph(session: ort.InferenceSession, batch: Batch) -> Singles:
    """The answer [N, H, Q] of a graph to a batch, given only the inputs that it has."""
    feed = to_feed(batch, names=[value.name for value in session.get_inputs()])
    answer: Singles = session.run([OUTPUT], feed)[0]
    return answer


def to_feed(batch: Batch, *, names: Iterable[str]) -> Mapping[str, Singles]:
    """The inputs of a batch by name."""
    assert set(names) <= set(INPUTS)
    return {name: np.ascontiguousarray(getattr(batch, name)) for name in names}
