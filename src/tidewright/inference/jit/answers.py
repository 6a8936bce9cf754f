"""Whether a compiled answer is the interpreted one: its type, its values, and its memory.

Types are equal to the dtype: compiled code has no numpy.float32, only native numbers, so its native type is compared
and the observed type restored. Values: whole numbers, truth values and text are equal; floats within `TOLERANCE` of
their own dtype, relative to the larger one of the two (libraries add in another order); NaN equals NaN, and an infinite
value itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TOLERANCE = {"float64": 1e-9, "complex128": 1e-9, "float32": 1e-4, "complex64": 1e-4}
_NATIVE = {float: "float64", int: "int64", bool: "bool", complex: "complex128", str: "unicode_type"}


def refuse_native(answer: Any, native: Any) -> str:
    """Why Numba's type `native` is not the type of an interpreted answer, or nothing."""
    if type(answer) is tuple:
        items = tuple(native.types) if hasattr(native, "types") else ()
        if len(items) != len(answer):
            return f"it gives a tuple of {len(answer)}, and {native} when compiled"
        return next(filter(None, map(refuse_native, answer, items)), "")
    if str(native).startswith("OptionalType"):
        native = native.type
        if answer is None:
            return ""
    if type(answer) is np.ndarray:
        return _refuse_array(answer, native)
    expected = name_type(answer)
    literal = getattr(native, "literal_type", native)
    return "" if expected == str(literal) else f"it gives {expected}, and {literal} when compiled"


def name_type(answer: Any) -> str:
    """The type of an answer as Numba names it; a list or another object by its own name."""
    if answer is None:
        return "none"
    if isinstance(answer, np.generic):
        return str(answer.dtype)
    return _NATIVE.get(type(answer), f"a {type(answer).__name__}")


def _refuse_array(answer: Any, native: Any) -> str:
    expected = f"{answer.dtype}, {answer.ndim}d"
    found = f"{getattr(native, 'dtype', native)}, {getattr(native, 'ndim', 0)}d"
    if expected != found:
        return f"it gives an array of {expected}, and {found} when compiled"
    if not native.mutable:
        return "it gives a view of its argument: a compiled form would give a read-only one"
    return ""


def find_difference(expected: Any, found: Any) -> str:
    """How a compiled answer differs from the interpreted one, or nothing."""
    if type(expected) is tuple:
        return next(filter(None, map(find_difference, expected, found)), "")
    if expected is None or found is None or isinstance(expected, str):
        return "" if expected == found else f"{found!r} in place of {expected!r}"
    here, there = np.asarray(expected), np.asarray(found)
    if here.shape != there.shape:
        return f"the shape {there.shape} in place of {here.shape}"
    if type(expected) is np.ndarray and here.flags.c_contiguous != there.flags.c_contiguous:
        return "another order in memory"
    share = TOLERANCE.get(str(here.dtype))
    same = here == there if share is None else _close(here, there, share)
    if np.all(same):
        return ""
    place = tuple(int(i) for i in np.argwhere(~np.atleast_1d(same))[0])
    first, second = np.atleast_1d(there)[place], np.atleast_1d(here)[place]
    return f"{first} in place of {second}" + (f" at {list(place)}" if here.ndim else "")


def _close(here: Any, there: Any, share: float) -> Any:
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(here - there) <= share * np.maximum(np.abs(here), np.abs(there))
    return apart | (here == there) | (np.isnan(here) & np.isnan(there))


def make_restorer(answer: Any) -> Callable[[Any], Any] | None:
    """What makes a native answer one of the observed type, as numpy.float64 of a float; None where nothing has to."""
    if isinstance(answer, np.generic):
        return type(answer)
    if type(answer) is tuple:
        parts = [make_restorer(item) or _keep for item in answer]
        if any(part is not _keep for part in parts):
            return lambda native: tuple([part(item) for part, item in zip(parts, native, strict=True)])
    return None


def keep_none(restore: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same where an answer may be None."""
    return lambda native: None if native is None else restore(native)


def _keep(native: Any) -> Any:
    return native


def shares_memory(answer: Any, row: tuple[Any, ...]) -> bool:
    """Whether an answer is, or holds, memory of an argument."""
    if type(answer) is tuple:
        return any(shares_memory(item, row) for item in answer)
    return type(answer) is np.ndarray and any(
        type(one) is np.ndarray and np.may_share_memory(answer, one) for one in row
    )
