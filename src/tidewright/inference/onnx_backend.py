"""ONNX Runtime as a backend: the bundle's graph, compiled from its verified bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import local
from typing import Any

import numpy as np

from tidewright.errors import BackendError
from tidewright.features.windows import Singles
from tidewright.inference.session import Answerer
from tidewright.optional import has
from tidewright.registry.bundle import Bundle
from tidewright.registry.graph_names import name_output
from tidewright.registry.manifest import Manifest

PLAIN = 1e38  # a sum of squares below this is of finite numbers that float32 computes with
Lane = tuple[Any, Singles, Singles, Singles]  # the binding, its input, the same input flat, its output


def start_onnx(bundle: Bundle, *, threads: int) -> Answerer:
    """What answers: the compiled graph. Raises `BackendError` where ONNX Runtime is not installed or refuses
    the graph.
    """
    if bundle.manifest.no_graph:
        raise BackendError(f"the bundle has no graph: {bundle.manifest.no_graph}. Ask for auto, or eager.")
    if not has("onnxruntime"):
        raise BackendError("onnxruntime is not installed. Install it with: pip install 'tidewright[onnx]'")
    import onnxruntime.capi.onnxruntime_pybind11_state as states

    from tidewright.registry.parity import open_graph

    kinds = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    refusals = tuple(getattr(states, kind) for kind in kinds)
    try:
        session = open_graph(bundle.graph, threads=threads)
    except refusals as error:
        raise BackendError(f"ONNX Runtime refuses the graph: {str(error).splitlines()[0]}.") from error

    output = name_output(bundle.manifest.task)

    def call(feed: Mapping[str, Singles]) -> Singles:
        answer: Singles = session.run([output], feed)[0]
        return answer

    return Answerer(call, _bind_row(session, bundle.manifest))


def _bind_row(session: Any, manifest: Manifest) -> Callable[[Singles], Singles | None]:
    """One window through buffers that are bound once a thread, which spares ONNX Runtime the making of its
    own.
    """
    task, lanes = manifest.task, local()
    shape, answer_shape = (1, manifest.view.lookback), (1, task.horizon, task.width)

    def open_lane() -> Lane:
        given, answer = np.empty(shape, np.float32), np.empty(answer_shape, np.float32)
        binding = session.io_binding()
        binding.bind_input("target", "cpu", 0, np.float32, shape, given.ctypes.data)
        binding.bind_output(name_output(task), "cpu", 0, np.float32, answer_shape, answer.ctypes.data)
        lanes.lane = lane = (binding, given, given.reshape(-1), answer)
        return lane

    run, look = session.run_with_iobinding, np.vdot  # vdot, unlike dot, says nothing of infinities

    def row(x: Singles) -> Singles | None:
        try:
            binding, given, flat, answer = lanes.lane
        except AttributeError:  # the first window of this thread
            binding, given, flat, answer = open_lane()
        given[...] = x
        if not 0.0 < look(flat, flat) < PLAIN:
            return None
        run(binding)
        taken: Singles = answer.copy()
        return taken

    return row
