"""ONNX Runtime as a backend: the bundle's graph, compiled from its verified bytes."""

from __future__ import annotations

from tidewright.errors import BackendError
from tidewright.inference.session import Call
from tidewright.optional import has
from tidewright.registry.bundle import Bundle


def start_onnx(bundle: Bundle, *, threads: int) -> Call:
    """What answers: the compiled session's own `run`, without the checks of its wrapper, which ours replace.

    Raises `BackendError` where ONNX Runtime is not installed or refuses the graph.
    """
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
    call: Call = session._sess.run
    return call
