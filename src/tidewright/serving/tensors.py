"""Requests and answers of the Open Inference Protocol v2: JSON, and the binary tensors that may follow it.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from tidewright.catalog import explain_unknown
from tidewright.errors import RequestError
from tidewright.serving.depth import parse_json

DTYPES: Mapping[str, Any] = {
    "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"), "FP16": np.dtype("<f2"), "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"), "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
}  # fmt: skip
MOST_AXES = 8
_WHOLE = int(1e15)  # beyond it no count of this world
_NUMBERS = {float, int, type(None)}
_UNSERVED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """An inference request: its arrays by name, its id, and whether the output is wanted as bytes."""

    arrays: Arrays
    id: str | None
    binary: bool


def read_infer(body: bytes, *, head: int | None, names: tuple[str, ...], output: str, rows: int, depth: int) -> Asked:
    """An inference request. `head` is the length of its JSON part where binary tensors follow; `names` are the inputs
    that the model takes. Raises `RequestError` with a sentence that names the field.
    """
    if head is not None and head > len(body):
        raise RequestError(
            f"Inference-Header-Content-Length says {head} bytes of JSON, and the body has {len(body)}. Send its length."
        )
    asked = parse_json(body if head is None else body[:head], depth=depth)
    if type(asked) is not dict:
        raise RequestError(f"the body is {_kind(asked)}; an object with 'inputs' is needed.")
    tensors = asked.get("inputs")
    if type(tensors) is not list or not tensors:
        raise RequestError(f"'inputs' is {_kind(tensors)}; a list of one or more tensors is needed.")
    arrays: Arrays = {}
    place = len(body) if head is None else head
    for number, tensor in enumerate(tensors):
        place = _read_tensor(tensor, f"inputs[{number}]", body=body, place=place, names=names, rows=rows, into=arrays)
    if place != len(body):
        raise RequestError(
            f"{len(body) - place} bytes follow the last binary tensor. Send just those that 'binary_data_size' says."
        )
    return Asked(arrays, _read_id(asked), _read_outputs(asked, output=output))


def _read_tensor(
    tensor: Any, where: str, *, body: bytes, place: int, names: tuple[str, ...], rows: int, into: Arrays
) -> int:
    """One tensor into `into`; gives the place in the body after it."""
    if type(tensor) is not dict:
        raise RequestError(f"'{where}' is {_kind(tensor)}; an object with name, shape, datatype and data is needed.")
    name = tensor.get("name")
    if type(name) is not str:
        raise RequestError(f"'{where}.name' is {_kind(name)}; one of {', '.join(names)} is needed.")
    if name not in names:
        raise RequestError(f"'{where}.name': {explain_unknown('input', _cut(name), names)}")
    if name in into:
        raise RequestError(f"'{where}.name': the input '{name}' is there twice. Send it once.")
    dtype = _read_dtype(tensor.get("datatype"), where)
    shape = _read_shape(tensor.get("shape"), where, rows=rows)
    size = _binary_size(tensor.get("parameters"), where)
    if size is None:
        into[name] = _from_list(tensor.get("data"), where, dtype=dtype, shape=shape)
        return place
    if "data" in tensor:
        raise RequestError(f"'{where}' has both 'data' and 'binary_data_size'. Send one of them.")
    into[name] = _from_bytes(body, where, place=place, size=size, dtype=dtype, shape=shape)
    return place + size


def _read_dtype(given: Any, where: str) -> Any:
    if type(given) is not str or given not in DTYPES:
        shown = f"'{_cut(given)}'" if type(given) is str else _kind(given)
        raise RequestError(f"'{where}.datatype' is {shown}; one of {', '.join(DTYPES)} is needed.")
    return DTYPES[given]


def _read_shape(given: Any, where: str, *, rows: int) -> tuple[int, ...]:
    if type(given) is not list or not 1 <= len(given) <= MOST_AXES:
        raise RequestError(f"'{where}.shape' is {_kind(given)}; a list of 1 to {MOST_AXES} sizes is needed.")
    for size in given:
        if type(size) is not int or not 0 < size < _WHOLE:
            raise RequestError(f"'{where}.shape' holds {_cut(size)}; whole numbers above 0 are needed.")
    if len(given) > 1 and given[0] > rows:
        raise RequestError(f"'{where}.shape' has {given[0]} rows; {rows} are allowed. Send fewer at a time.")
    return tuple(given)


def _binary_size(parameters: Any, where: str) -> int | None:
    if parameters is None:
        return None
    if type(parameters) is not dict:
        raise RequestError(f"'{where}.parameters' is {_kind(parameters)}; an object is needed.")
    _refuse_unserved(parameters, where)
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or not 0 <= size < _WHOLE):
        raise RequestError(f"'{where}.parameters.binary_data_size' is {_cut(size)}; a number of bytes is needed.")
    return size


def _from_bytes(body: bytes, where: str, *, place: int, size: int, dtype: Any, shape: tuple[int, ...]) -> Any:
    count = prod(shape)
    if size != count * dtype.itemsize:
        raise RequestError(
            f"'{where}.parameters.binary_data_size' is {size}; its shape {_show(shape)} needs {count * dtype.itemsize}."
        )
    if place + size > len(body):
        raise RequestError(
            f"'{where}' should have {size} bytes after the JSON part, and {len(body) - place} are there. Send "
            "them all, and the length of the JSON part in Inference-Header-Content-Length."
        )
    return make_array(body, place, dtype, shape)


def make_array(body: bytes, place: int, dtype: Any, shape: tuple[int, ...], /) -> npt.NDArray[Any]:
    """The numbers at a place of a body: not copied where that is a place for numbers of their size."""
    values = np.ndarray(shape, dtype, body, place)
    return values if place % dtype.itemsize == 0 else values.copy()


def _from_list(data: Any, where: str, *, dtype: Any, shape: tuple[int, ...]) -> Any:
    if type(data) is not list:
        raise RequestError(f"'{where}.data' is {_kind(data)}; a list of numbers is needed, or 'binary_data_size'.")
    flat = _flatten(data, where, shape=shape) if data and type(data[0]) is list else data
    count = prod(shape)
    if len(flat) != count:
        raise RequestError(f"'{where}.data' holds {len(flat)} numbers; its shape {_show(shape)} needs {count}.")
    kinds = set(map(type, flat))
    if not kinds <= _NUMBERS:
        place = next(number for number, value in enumerate(flat) if type(value) not in _NUMBERS)
        raise RequestError(f"'{where}.data' holds {_kind(flat[place])} at place {place}; numbers are needed.")
    if dtype.kind != "f" and kinds != {int}:
        raise RequestError(f"'{where}.data' holds fractions or nulls; whole numbers are needed for its datatype.")
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            return np.array(flat, dtype=dtype).reshape(shape)
    except OverflowError as error:
        raise RequestError(f"'{where}.data' holds a number that its datatype can't hold. Send FP32 or FP64.") from error


def _flatten(data: list[Any], where: str, *, shape: tuple[int, ...]) -> list[Any]:
    """Lists in lists, as deep as the shape; every one of its own length."""
    flat = data
    for axis, size in enumerate(shape[:-1]):
        below = shape[axis + 1]
        if any(type(part) is not list or len(part) != below for part in flat):
            raise RequestError(f"'{where}.data' is not nested as its shape {_show(shape)} says. Send a flat list.")
        if axis == 0 and len(flat) != size:
            break
        flat = list(chain.from_iterable(flat))
    return flat


def _read_id(asked: Mapping[str, Any]) -> str | None:
    given = asked.get("id")
    if given is not None and (type(given) is not str or len(given) > 256):
        raise RequestError(f"'id' is {_kind(given)}; a text of at most 256 letters is needed.")
    return given


def _read_outputs(asked: Mapping[str, Any], *, output: str) -> bool:
    """Whether the output is wanted as bytes; a request may name the one that there is."""
    parameters, outputs = asked.get("parameters"), asked.get("outputs")
    binary = _flag(parameters, "parameters", "binary_data_output")
    if outputs is None or outputs == []:
        return binary
    if type(outputs) is not list or len(outputs) != 1 or type(outputs[0]) is not dict:
        raise RequestError(f"'outputs' is a list of one object, which names '{output}'; got {_kind(outputs)}.")
    name, own = outputs[0].get("name"), outputs[0].get("parameters")
    if name != output:
        raise RequestError(f"'outputs[0].name': {explain_unknown('output', _cut(name), (output,))}")
    if type(own) is dict:
        _refuse_unserved(own, "outputs[0]")
        binary = binary if "binary_data" not in own else _flag(own, "outputs[0].parameters", "binary_data")
    elif own is not None:
        raise RequestError(f"'outputs[0].parameters' is {_kind(own)}; an object is needed.")
    return binary


def _flag(parameters: Any, where: str, name: str) -> bool:
    if parameters is None:
        return False
    if type(parameters) is not dict:
        raise RequestError(f"'{where}' is {_kind(parameters)}; an object is needed.")
    value = parameters.get(name, False)
    if type(value) is not bool:
        raise RequestError(f"'{where}.{name}' is {_cut(value)}; true or false is needed.")
    return value


def _refuse_unserved(parameters: Mapping[str, Any], where: str) -> None:
    for name in _UNSERVED:
        if name in parameters:
            raise RequestError(f"'{where}.parameters.{name}' is not served here. Send and take whole tensors.")


Write = Callable[[npt.NDArray[np.float32], str | None, bool], tuple[bytes, int | None]]


def make_writer(*, model: str, version: str, output: str) -> Write:
    """What writes answers [N, H, Q]: the body, and the length of its JSON part where bytes follow."""
    head = f'{{"model_name":{json.dumps(model)},"model_version":{json.dumps(version)},'.encode()
    middle = f'"outputs":[{{"name":{json.dumps(output)},"datatype":"FP32","shape":['.encode()

    def write(values: npt.NDArray[np.float32], id: str | None, binary: bool) -> tuple[bytes, int | None]:
        named = b"" if id is None else b'"id":' + to_json(id) + b","
        n, h, q = values.shape
        start = b"%b%b%b%d,%d,%d]," % (head, named, middle, n, h, q)
        if not binary:
            data = to_json(values.reshape(-1).tolist())
            if b"N" in data or b"I" in data:  # NaN, Infinity: no JSON
                raise RequestError("the answer is not finite: the values are too far apart for float32. Rescale them.")
            return b'%b"data":%b}]}' % (start, data), None
        text = b'%b"parameters":{"binary_data_size":%d}}]}' % (start, values.nbytes)
        return text + values.tobytes(), len(text)

    return write


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "missing or null"}
    kind = names.get(type(value), "a number")
    return f"a list of {len(value)}" if type(value) is list else kind


def _cut(value: Any) -> str:
    """A stranger's value, short enough for a sentence."""
    text = value if isinstance(value, str) else _kind(value) if isinstance(value, (dict, list)) else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text[:60]) + ("..." if len(text) > 60 else "")


def _show(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
