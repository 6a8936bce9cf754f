"""`Layouts`: what stood around the numbers of inference requests. A client sends the same names, types and shapes again
and again: bytes that are the same say the same, so that of a request like one before only its numbers are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from struct import Struct, error
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import from_json

from tidewright.serving.tensors import Asked, make_array

MOST, LONGEST = 256, 1024  # layouts, and bytes of one
FREE, EARNED, SPARED = 32, 4, 61  # layouts that are made anyway, uses that earn one, requests between two without these
_FLOAT = np.dtype("<f4")
_PROBE, _PROBED = b'"a probe",0.5', ["a probe", 0.5]  # what stands in no request's data


class _Tensor(NamedTuple):
    """A tensor's place in the bytes after the JSON part."""

    name: str
    dtype: Any
    shape: tuple[int, ...]
    place: int


class _Layout(NamedTuple):
    """Binary tensors and the length of all, or the name, the shape and the numbers' form of the one in JSON; and what
    a request says beside them.
    """

    tensors: tuple[_Tensor, ...]
    length: int
    pack: Struct | None
    id: str | None
    binary: bool


class Layouts:
    """Of one model. Any thread may ask: of the counts, which only say what pays, one may get lost."""

    def __init__(self) -> None:
        self._known: dict[Any, _Layout] = {}  # by the JSON part, or by what stands before and after the numbers
        self._used = self._made = self._missed = 0

    def read(self, body: bytes, head: int | None) -> Asked | None:
        """What `read_infer` gives, of a request like one before; None of another one, or of numbers to be looked at."""
        return self._read_json(body) if head is None else self._read_binary(body, head)

    def remember(self, body: bytes, head: int | None, asked: Asked) -> None:
        """A request that was read with care; few of those where each is another, for a layout takes longer to make than
        one use of it saves.
        """
        self._missed += 1
        if self._made >= FREE + self._used // EARNED and self._missed % SPARED:
            return
        self._made += 1
        key, layout = _describe_json(body, asked) if head is None else _describe_binary(body, head, asked)
        if layout is not None:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = layout

    def _read_binary(self, body: bytes, head: int) -> Asked | None:
        layout = self._known.get(body[:head])
        if layout is None or layout.length != len(body):
            return None
        self._used += 1
        arrays = {name: make_array(body, place, dtype, shape) for name, dtype, shape, place in layout.tensors}
        return Asked(arrays, layout.id, layout.binary)

    def _read_json(self, body: bytes) -> Asked | None:
        start, end = _find_numbers(body)
        layout = self._known.get((body[:start], body[end:]))
        if layout is None or layout.pack is None:
            return None
        given = body[start - 1 : end + 1]
        if b"n" in given or b"t" in given or b"f" in given:  # null, true, false, Infinity
            return None
        try:
            packed = layout.pack.pack(*from_json(given))
        except (error, ValueError, OverflowError):  # other than numbers, or another count of them
            return None
        self._used += 1
        name, dtype, shape, _ = layout.tensors[0]
        return Asked({name: np.frombuffer(packed, dtype).reshape(shape)}, layout.id, layout.binary)


def _find_numbers(body: bytes) -> tuple[int, int]:
    """Where the numbers of the first list called data begin and end."""
    start = body.find(b"[", body.find(b'"data"')) + 1
    return start, body.find(b"]", start)


def _describe_binary(body: bytes, head: int, asked: Asked) -> tuple[bytes, _Layout | None]:
    if head > LONGEST:
        return b"", None
    tensors, place = [], head
    for name, array in asked.arrays.items():
        tensors.append(_Tensor(name, array.dtype, array.shape, place))
        place += array.nbytes
    if place != len(body):  # one of them is in JSON
        return b"", None
    return body[:head], _Layout(tuple(tensors), place, None, asked.id, asked.binary)


def _describe_json(body: bytes, asked: Asked) -> tuple[tuple[bytes, bytes], _Layout | None]:
    """A layout is one of a single flat list of FP32, and only where a probe in the place of the numbers is what the
    parser finds there, and changes nothing else: then any numbers in that place are the tensor's.
    """
    start, end = _find_numbers(body)
    before, after = body[:start], body[end:]
    (name, array), *others = asked.arrays.items()
    if others or array.dtype != _FLOAT or len(before) + len(after) > LONGEST:
        return (before, after), None
    whole, probed = from_json(body), _parse(before + _PROBE + after)
    if type(probed) is not dict or _take_data(probed) != _PROBED or not _take_data(whole) or probed != whole:
        return (before, after), None
    tensor = _Tensor(name, _FLOAT, array.shape, start)
    return (before, after), _Layout((tensor,), 0, Struct(f"{prod(array.shape)}f"), asked.id, asked.binary)


def _parse(text: bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return None


def _take_data(request: Mapping[str, Any]) -> Any:
    inputs = request.get("inputs")
    return inputs[0].pop("data", None) if type(inputs) is list and inputs and type(inputs[0]) is dict else None
