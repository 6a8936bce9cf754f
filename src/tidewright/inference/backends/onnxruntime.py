"""ONNX Runtime as a backend: the bundle's graph, compiled from its verified bytes, on the CPU, CUDA or TensorRT.

The providers of GPUs are written after ONNX Runtime's documentation and were not run: there was no GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tidewright.errors import BackendError
from tidewright.features.windows import Singles
from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.bind import bind_named, bind_row
from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Answerer, Call
from tidewright.optional import has
from tidewright.registry.bundle import Bundle
from tidewright.registry.graph_names import name_output
from tidewright.registry.manifest import Manifest
from tidewright.runtime import explain_no_driver

CPU, CUDA, TENSOR_RT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
PROVIDERS = {"cpu": (CPU,), "cuda": (CUDA, CPU)}


def start(bundle: Bundle, /, *, options: SessionOptions, providers: tuple[str, ...] = ()) -> Answerer:
    """What answers: the compiled graph. Raises `BackendError` where ONNX Runtime refuses the graph, or does not give
    the first of the providers (default: those of the device).
    """
    from onnxruntime import RunOptions

    session, told = compile_graph(bundle.graph, options=options, providers=providers)
    names, made_once = [name_output(bundle.manifest.task)], RunOptions()
    run = getattr(getattr(session, "_sess", None), "run", session.run)  # without looking at the inputs once more

    def call(feed: Mapping[str, Singles]) -> Singles:
        answer: Singles = run(names, feed, made_once)[0]
        return answer

    row, staged = bind_row(session, bundle.manifest)
    answer_batch: Call = call if bundle.manifest.lengths is None else _check_lengths(call, bundle)
    return Answerer(answer_batch, row, bind_named(session, bundle.manifest), settings=told, staged=staged)


def _check_lengths(call: Call, bundle: Bundle) -> Call:
    """`call`, with a look at what each length takes before it is answered for the first time: milliseconds each."""
    from tidewright.registry.check_graph import check_length, checked_lengths, read_graph

    model, known = read_graph(bundle.graph), set(checked_lengths(bundle.manifest))

    def check_and_call(feed: Mapping[str, Singles]) -> Singles:
        steps = feed["target"].shape[1]
        if steps not in known:
            check_length(model, bundle.manifest, steps=steps, numbers=bundle.numbers)
            known.add(steps)
        return call(feed)

    return check_and_call


def compile_graph(
    graph: bytes, *, options: SessionOptions, providers: tuple[str, ...] = ()
) -> tuple[Any, dict[str, str]]:
    """ONNX Runtime's session on a checked graph, and what it computes with. Raises `BackendError` as `start` does."""
    import onnxruntime.capi.onnxruntime_pybind11_state as states

    from tidewright.registry.parity import open_graph

    wanted = providers or PROVIDERS[options.device]
    kinds = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    refusals = tuple(getattr(states, kind) for kind in kinds)
    settings: dict[str, Any] = {
        "threads": options.threads,
        "optimisation": options.optimisation,
        "arena": options.arena,
    }
    try:
        session = open_graph(graph, providers=wanted, **settings)
    except refusals as error:
        raise BackendError(f"ONNX Runtime refuses the graph: {str(error).splitlines()[0]}.") from error
    used = session.get_providers()
    if used[0] != wanted[0]:
        raise BackendError(f"ONNX Runtime does not give {wanted[0]}, but {', '.join(used)}: its libraries are missing.")
    return session, {"providers": ", ".join(used), **{name: str(value) for name, value in settings.items()}}


def explain_unfit(manifest: Manifest) -> str:
    """Why a model can't run here: it has no graph."""
    return f"the bundle has no graph: {manifest.no_graph}" if manifest.no_graph else ""


def explain_missing(device: str, *, provider: str = "") -> str:
    """Why no graph runs on a device: the package, its provider or the driver is missing."""
    if not has("onnxruntime"):
        return "onnxruntime is not installed. Install it with: pip install 'tidewright[onnx]'"
    wanted = provider or PROVIDERS[device][0]
    if wanted == CPU:
        return ""
    obstacle = explain_no_driver() or ("" if device == "cuda" else "it runs on cuda alone")
    return obstacle or _explain_no_provider(wanted)


def _explain_no_provider(wanted: str) -> str:
    import onnxruntime

    there: list[Any] = onnxruntime.get_available_providers()
    spare = f"the installed onnxruntime has no {wanted}. Install onnxruntime-gpu in its place"
    return "" if wanted in there else spare


BACKEND = Backend(explain_unfit, explain_missing, start)
TENSORRT = Backend(
    explain_unfit,
    partial(explain_missing, provider=TENSOR_RT),
    partial(start, providers=(TENSOR_RT, CUDA, CPU)),
    lambda bundle, options: False,  # its engine is built when it starts
)
