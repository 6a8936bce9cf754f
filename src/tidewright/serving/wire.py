"""What a client sends and reads: the other side of `tensors` and `arrow`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.border import to_polars
from tidewright.data.panel import Native
from tidewright.errors import DataError, RequestError
from tidewright.inference.inputs import to_array
from tidewright.inference.items import is_items, join_items

_TYPES = {"float32": "FP32", "float64": "FP64", "float16": "FP16"} | {
    f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def write_infer(x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]) -> tuple[bytes, int]:
    """An inference request with its tensors as bytes, and the length of its JSON part. A window alone may leave
    its axis N out; a list of windows is one after the other. Raises `DataError` where an array holds no numbers, and
    where there is no input.
    """
    x = join_items(x) if is_items(x) else x
    given = x.items() if isinstance(x, Mapping) else [("target", x)]
    arrays = {str(name): to_array(one, f"the input '{name}'") for name, one in given}
    if not arrays:
        raise DataError("no input is given. Give a mapping of arrays by name, or one array of past values.")
    single = arrays.get("target", np.empty((1, 1))).ndim == 1
    tensors, parts = [], []
    for name, array in arrays.items():
        if array.dtype.name not in _TYPES:
            raise DataError(f"the input '{name}' holds {array.dtype}; numbers are needed. Convert it to float32.")
        whole = np.ascontiguousarray(array[None] if single else array)
        parts.append(whole.astype(whole.dtype.newbyteorder("<"), copy=False).tobytes())
        size = {"binary_data_size": len(parts[-1])}
        tensors.append({"name": name, "shape": whole.shape, "datatype": _TYPES[array.dtype.name], "parameters": size})
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    return b"".join((head, *parts)), len(head)


def read_infer_answer(body: bytes, head: str | None) -> tuple[npt.NDArray[np.float32], str]:
    """The one output [N, H, Q] of an answer, and its version. Raises `RequestError` where it is not whole."""
    try:
        length = int(head or "")
        told = json.loads(body[:length])
        shape, version = told["outputs"][0]["shape"], str(told["model_version"])
        return np.frombuffer(body, "<f4", offset=length).reshape(shape).astype(np.float32), version
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise RequestError("the answer is no inference's. Is it a server of Tidewright?", status=0) from error


def write_table(table: Any) -> tuple[bytes, Native]:
    """A table (pandas, polars, Arrow, or a file's path) as an Arrow IPC stream of plain columns, and its kind."""
    import pyarrow as pa

    frame, native = to_polars(table)
    plain = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    arrow = plain.to_arrow(compat_level=pl.CompatLevel.oldest())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    return sink.getvalue().to_pybytes(), native


def read_forecast(body: bytes) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A forecast's table, and what is told beside it. Raises `RequestError` where it is not whole."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(body).read_all()
        told: dict[str, Any] = json.loads((table.schema.metadata or {})[b"tidewright"])
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise RequestError("the answer is no forecast. Is it a server of Tidewright?", status=0) from error
    return pl.DataFrame(pl.from_arrow(table)), told
