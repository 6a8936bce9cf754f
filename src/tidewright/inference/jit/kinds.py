"""What kind of arguments a call has: their types, and of arrays the dtype, the dimensions and the layout.

Code is compiled, checked and measured for one kind of arguments, and answers for no other: a Python float and a
numpy.float64 are two kinds, because NumPy and Python divide, round and overflow differently.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

_CODES = "?bhilBHILfdFD"
NATIVE = {id(np.dtype(code)): np.dtype(code) for code in _CODES}  # NumPy keeps these for good: their ids are theirs
SCALARS: tuple[type, ...] = (bool, int, float, complex, str, type(None), *(np.dtype(code).type for code in _CODES))
_KNOWN = frozenset((*SCALARS, np.ndarray))
LAYOUT = 0x103  # NumPy's flags: C order, Fortran order, aligned
_C, _F, _ALIGNED = 0x1, 0x2, 0x100

Mark = tuple[int, int, int]  # of an array: id of the dtype, dimensions, layout
Marks = tuple[Mark, ...]


def find_arrays(types: tuple[type, ...]) -> tuple[int, ...]:
    """The places of the arrays."""
    return tuple(place for place, kind in enumerate(types) if kind is np.ndarray)


def make_marker(places: tuple[int, ...]) -> Callable[[tuple[Any, ...]], Hashable]:
    """What looks at the arrays of a call, on the path of every call: dtype by its id, dimensions, all of the flags."""
    if len(places) == 1:
        place = places[0]

        def mark(row: tuple[Any, ...]) -> Hashable:
            array = row[place]
            return id(array.dtype), array.ndim, array.flags.num

        return mark
    return lambda row: tuple([(id(a.dtype), a.ndim, a.flags.num) for a in map(row.__getitem__, places)])


def settle_marks(row: tuple[Any, ...], places: tuple[int, ...]) -> Marks:
    """The same by NumPy's own dtypes, also of arrays that hold an equal one, and by the flags that code depends on."""
    arrays = [row[place] for place in places]
    return tuple((_find_native(a.dtype), a.ndim, a.flags.num & LAYOUT) for a in arrays)


def are_native(row: tuple[Any, ...], places: tuple[int, ...]) -> bool:
    """Whether the ids of the arrays' dtypes stand for these dtypes for good."""
    return all(id(row[place].dtype) in NATIVE for place in places)


def refuse_kind(types: tuple[type, ...], marks: Marks, *, names: tuple[str, ...]) -> str:
    """Why arguments of this kind are never compiled for, or nothing."""
    for name, kind in zip(names, types, strict=True):
        if kind not in _KNOWN:
            return f"'{name}' is a {kind.__name__}: only numbers, text and plain arrays of numbers are compiled for"
    places = find_arrays(types)
    for place, (dtype, _, layout) in zip(places, marks, strict=True):
        if dtype not in NATIVE:
            return (
                f"'{names[place]}' is an array of a dtype that is not compiled for: give numbers in native byte order"
            )
        if not layout & _ALIGNED:
            return f"'{names[place]}' is not aligned in memory: give a copy"
    return ""


def describe_kind(types: tuple[type, ...], marks: Marks) -> str:
    """A kind of arguments for people: `float64[C, 1d], int`."""
    left = iter(marks)
    return ", ".join(_describe_mark(next(left)) if kind is np.ndarray else _name(kind) for kind in types)


def _name(kind: type) -> str:
    return f"np.{kind.__name__}" if issubclass(kind, np.generic) else kind.__name__


def _describe_mark(mark: Mark) -> str:
    dtype, dimensions, layout = mark
    order = "C" if layout & _C else "F" if layout & _F else "strided"
    return f"{NATIVE.get(dtype, 'other')}[{order}, {dimensions}d]"


def _find_native(dtype: np.dtype[Any]) -> int:
    """The id of NumPy's own dtype that equals this one, or 0."""
    return id(np.dtype(dtype.char)) if dtype.isnative and dtype.char in _CODES else 0
