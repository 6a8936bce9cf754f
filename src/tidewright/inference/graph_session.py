"""`GraphSession`: an ONNX graph without a bundle, as `PyTorchModelFactory.export_to_onnx` writes it.

Nothing says what it should answer, so its operators and sizes are checked before it runs, and only finite numbers go in
and come out. N rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.checks import to_path
from tidewright.errors import BackendError, BundleError, DataError, FallbackWarning
from tidewright.features.windows import Singles
from tidewright.inference.backends.onnxruntime import compile_graph, explain_missing
from tidewright.inference.inputs import to_array
from tidewright.inference.options import SessionOptions
from tidewright.optional import require
from tidewright.registry.verify import GRAPH, LARGEST
from tidewright.runtime import Choice, Device, explain_no_driver

BACKEND = "onnxruntime"


class GraphAnswer(NamedTuple):
    """An answer: the graph's output [N, ...], how long it took, and who gave it."""

    values: Singles
    latency_ms: float
    backend: str

    @property
    def point(self) -> Singles:
        """The same as `values`; see `Prediction.point`."""
        return self.values


@dataclass(frozen=True, slots=True)
class Border:
    """What a graph takes and gives: the names, the shape of one row, and how many rows it takes (None: any)."""

    name: str
    shape: tuple[int, ...]
    rows: int | None
    output: str


class GraphSession:
    """See `open_graph_session`. Any number of threads may ask it; nothing of it changes."""

    def __init__(
        self, runtime: Any, *, border: Border, model: str, digest: str, settings: Mapping[str, Choice]
    ) -> None:
        self.border, self.model, self.digest, self.settings = border, model, digest, settings
        self.backend = BACKEND
        self.choice = Choice(BACKEND, BACKEND, "a graph alone runs nowhere else")
        self._run, self._names = runtime.run, [border.output]

    def predict(self, x: npt.NDArray[Any], /) -> GraphAnswer:
        """The answer to rows [N, ...], or to one row without its N axis. Raises `DataError`."""
        started = perf_counter_ns()
        given = self._check(x)
        values: Singles = self._run(self._names, {self.border.name: given})[0]
        if len(values) != len(given):
            raise DataError(
                f"'{self.model}' gives {values.shape} to {len(given)} rows: not an answer for each of them."
            )
        if not np.isfinite(values).all():
            raise DataError(f"an answer of '{self.model}' is not a finite number: its features are too large for it.")
        return GraphAnswer(values, (perf_counter_ns() - started) * 1e-6, self.backend)

    def _check(self, x: Any) -> Singles:
        array, border = to_array(x, "the features"), self.border
        if array.dtype.kind not in "fiu":
            raise DataError(f"the features hold {array.dtype}; numbers are needed. Convert them to float32.")
        array = array[None] if array.ndim == len(border.shape) else array
        rows = border.rows or max(1, len(array) if array.ndim else 0)
        if array.shape != (rows, *border.shape):
            wanted = ", ".join(map(str, (border.rows or "N", *border.shape)))
            raise DataError(f"the features have the shape {np.shape(x)}; '{self.model}' takes ({wanted}).")
        with np.errstate(over="ignore"):  # what becomes infinite is told of below
            given = np.ascontiguousarray(array, dtype=np.float32)
        wild = ~np.isfinite(given)
        if wild.any():
            place = np.unravel_index(int(np.argmax(wild)), array.shape)
            raise DataError(
                f"the features hold {array[place]:g} at {tuple(map(int, place))}; a graph alone has no answer to "
                "missing, infinite or huge values. Fill them in, or leave such rows out."
            )
        return given

    def __repr__(self) -> str:
        return f"GraphSession({self.model!r}, {self.digest[:12]})"


def open_graph_session(
    path: str | Path, *, device: Device = "auto", threads: int = 1, strict: bool = False
) -> GraphSession:
    """A session on an .onnx file of plain operators with one input and one output of float32.

    A GPU is taken where `device` is cuda; where there is none the processor answers, with a `FallbackWarning`, or a
    `BackendError` when `strict`. Raises `BundleError` for a graph that is refused as it would be in a bundle.
    """
    for package in ("onnx", "onnxruntime"):
        require(package, extra="onnx", purpose="opening a graph")
    from tidewright.registry.check_graph import read_graph
    from tidewright.registry.graph_size import check_sizes

    options, file = SessionOptions(device=device, threads=threads), to_path("path", path, of="an .onnx file")
    content = _read(file)
    graph = read_graph(content, name=f"'{file}'")
    border = _find_border(graph, name=file.name)
    check_sizes(graph, name=f"'{file}'")
    runtime, settings = _compile(content, options=options, strict=strict)
    return GraphSession(runtime, border=border, model=file.stem, digest=sha256(content).hexdigest(), settings=settings)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST[GRAPH] + 1)
    except OSError as error:
        raise BundleError(
            f"'{file}' can't be read: {error.strerror}. Give a bundle's folder or an .onnx file."
        ) from error
    if len(content) > LARGEST[GRAPH]:
        raise BundleError(f"'{file}' has more than {LARGEST[GRAPH]} bytes. Make the model smaller.")
    return content


def _find_border(graph: Any, *, name: str) -> Border:
    """Raises `BundleError` for other than one float32 input of fixed sizes behind its rows, and one float32 output."""
    import onnx

    weights = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in weights]
    outputs = list(graph.graph.output)
    kinds = [value.type.tensor_type for value in (*inputs, *outputs)]
    single = len(inputs) == len(outputs) == 1 and all(kind.elem_type == onnx.TensorProto.FLOAT for kind in kinds)
    sizes = [int(dim.dim_value) for dim in kinds[0].shape.dim] if single else []
    if not sizes or not kinds[1].shape.dim or any(size < 1 for size in sizes[1:]):
        names = ", ".join(value.name for value in (*inputs, *outputs))
        raise BundleError(
            f"'{name}' does not take one float32 array of rows whose other sizes are fixed, and give one; it has "
            f"{names or 'neither inputs nor outputs'}. Export it with PyTorchModelFactory.export_to_onnx."
        )
    return Border(inputs[0].name, tuple(sizes[1:]), sizes[0] or None, outputs[0].name)


def _compile(content: bytes, *, options: SessionOptions, strict: bool) -> tuple[Any, dict[str, Choice]]:
    """ONNX Runtime's session on the device that was asked for, or on the processor, and what it computes with."""
    wanted = "cuda" if options.device == "cuda" else "cpu"
    why = explain_missing(wanted)
    if not why:
        try:
            return _settle(*compile_graph(content, options=options.on(wanted)), asked=options.device, used=wanted)
        except BackendError as error:
            if wanted == "cpu":
                raise
            why = str(error)
    if strict:
        raise BackendError(f"{why}. Ask for the device cpu, or leave strict out.")
    warnings.warn(f"the graph runs on the cpu instead of cuda: {why}.", FallbackWarning, stacklevel=4)
    return _settle(*compile_graph(content, options=options.on("cpu")), asked=options.device, used="cpu", why=why)


def _settle(
    runtime: Any, told: Mapping[str, str], *, asked: str, used: str, why: str = ""
) -> tuple[Any, dict[str, Choice]]:
    other = explain_no_driver() or "not measured for a graph alone; ask for it by name"
    passed = (f"cuda: {why or other}",) if used == "cpu" else ()
    choices = {"device": Choice(asked, used, why or ("asked for" if asked == used else "the usual one"), passed)}
    return runtime, choices | {name: Choice(value, value, "as it was opened") for name, value in told.items()}
