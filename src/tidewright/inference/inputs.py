"""What `predict` is given, checked at the border: names, shapes, types, and what a missing value is.

N windows, L lookback, H horizon, P past, K known and M static features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.columns import LARGEST
from tidewright.errors import ColumnError, DataError
from tidewright.features.windows import Singles
from tidewright.inference.items import is_items, join_items
from tidewright.registry.manifest import Manifest

ZERO, PLAIN = np.float32(0.0), np.float32(1e38)  # sums of squares between are of finite numbers, fit for float32
# unlike dot it says nothing of infinities; its C function, where numpy shows it, saves 0.2 us of other arrays' ways
look = getattr(np.vdot, "_implementation", np.vdot)
Inputs = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]
_MEANS = {
    "target": "past values of the target, oldest first",
    "past": "past steps by past covariates",
    "known": "past and future steps by known covariates",
    "static": "static features",
}


def check_inputs(given: Any, manifest: Manifest) -> dict[str, Singles]:
    """The inputs of the graph by name, each float32 with N windows.

    NaN is a missing value; a window needs one observed target value. Infinite and huge values raise
    `DataError`, and so do other shapes and types; an input that is missing or unknown raises `ColumnError`. A
    single window may leave its N axis out. A list of these is one after the other.
    """
    if is_items(given):
        given = join_items(given)
    arrays = _name_inputs(given, shape_inputs(manifest))
    arrays = {name: to_array(array, f"the input '{name}'") for name, array in arrays.items()}
    shapes = shape_inputs(manifest, steps=_find_steps(arrays["target"], manifest))
    single = arrays["target"].ndim == 1
    named = {name: (arrays[name], shape) for name, shape in shapes.items()}
    lengths = manifest.lengths
    feed = {name: _check_array(one, name, shape=to, single=single, free=lengths) for name, (one, to) in named.items()}
    counts = {name: len(array) for name, array in feed.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise DataError(f"every input holds the same windows, one or more; got {counts}. Give a row a window.")
    if manifest.task.classifies:
        _check_classes(feed["target"], count=len(manifest.task.classes))
    if not _is_plain(feed["target"]) and (empty := np.isnan(feed["target"]).all(axis=1)).any():
        raise DataError(
            f"window {int(np.argmax(empty))} of 'target' holds no observed value ({int(empty.sum())} such windows). "
            "Leave it out, or bring its values."
        )
    return feed


def to_array(given: Any, what: str) -> npt.NDArray[Any]:
    """An array of what was given. Raises `DataError` for an empty list, and for rows of unlike lengths."""
    if isinstance(given, (list, tuple)) and not given:
        raise DataError(f"{what}: an empty list holds no window. Give one or more.")
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DataError(
            f"{what}: rows of unlike lengths are no array. Give rows of one length, with NaN before a shorter one."
        ) from error


def take_plain(given: Any, *, lookback: int) -> dict[str, Singles] | None:
    """The inputs where they are windows of the target alone that need no second look; else None."""
    if type(given) is not np.ndarray or given.ndim != 2 or given.shape[1] != lookback or not len(given):
        return None
    return {"target": given} if _is_plain(given) else None


def check_answer(values: Singles) -> Singles:
    """The answer, if every number of it is finite. Raises `DataError` naming the first window where one
    isn't.
    """
    if not _is_plain(values) and not (finite := np.isfinite(values).all(axis=(1, 2))).all():
        raise DataError(
            f"the answer to window {int(np.argmin(finite))} is not a finite number ({int((~finite).sum())} such "
            "windows): its values are too large or too far apart for float32. Rescale the target."
        )
    return values


def _is_plain(array: npt.NDArray[Any]) -> bool:
    """Whether all are finite numbers far from the largest, seen in one pass; False says nothing."""
    if array.dtype != np.float32 or not array.flags.c_contiguous:
        return False
    flat = array.reshape(-1)
    return bool(look(flat, flat) < PLAIN)


def shape_inputs(manifest: Manifest, *, steps: int | None = None) -> dict[str, tuple[int, ...]]:
    """The shape of one window of each input, of so many steps (default: those that the model learned from)."""
    widths, lookback = manifest.widths, steps or manifest.view.lookback
    shapes: dict[str, tuple[int, ...]] = {
        "target": (lookback,),
        "past": (lookback, widths.past),
        "known": (lookback + manifest.task.horizon, widths.known),
        "static": (widths.static,),
    }
    return {name: shapes[name] for name in widths.inputs}


def _find_steps(target: Any, manifest: Manifest) -> int | None:
    """How many steps these windows have, if that is another number than learned from, and one that is allowed."""
    shape = np.shape(target)
    own = shape[-1] if len(shape) in (1, 2) else 0
    return own if own != manifest.view.lookback and manifest.takes(own) else None


def _name_inputs(given: Any, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        if hasattr(given, "columns"):
            raise DataError(f"predict takes arrays, got a table ({type(given).__name__}). Give tables to forecast.")
        return _name_inputs({"target": given}, shapes)
    for name in given:
        if name not in shapes:
            raise ColumnError(explain_unknown("input", name, shapes))
    missing = [name for name in shapes if name not in given]
    if missing:
        raise ColumnError(
            f"the input '{missing[0]}' is missing: this model takes {', '.join(shapes)}. Give a mapping of arrays by "
            "name, or give a table to forecast."
        )
    return given


def _check_classes(target: Singles, *, count: int) -> None:
    """Classes are counted from 0, in their order."""
    strange = ~np.isnan(target) & ~np.isin(target, np.arange(count, dtype=np.float32))
    if strange.any():
        raise DataError(
            f"'target' holds {target[strange][0]:g}; classes are counted from 0 to {count - 1}, in the order of the "
            "task's classes, and NaN is a missing one. Give tables to forecast, which name them."
        )


def _check_array(
    array: npt.NDArray[Any], name: str, *, shape: tuple[int, ...], single: bool, free: tuple[int, int] | None
) -> Singles:
    if array.dtype.kind not in "fiu":
        raise DataError(f"the input '{name}' holds {array.dtype}; numbers are needed. Convert it to float32.")
    array = array[None] if single else array
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        wanted = ", ".join(map(str, shape)) if free is None or name != "target" else f"{free[0]} to {free[1]}"
        raise DataError(
            f"the input '{name}' has the shape {array.shape}; (N, {wanted}) is needed: N windows of {_MEANS[name]}. "
            f"Put NaN before a shorter history, and leave out what is older than the lookback."
        )
    if not _is_plain(array) and (large := np.abs(array) > LARGEST).any():  # False for NaN
        place = np.unravel_index(int(np.argmax(large)), array.shape)
        raise DataError(
            f"the input '{name}' holds {array[place]:g} at {tuple(map(int, place))}; numbers up to {LARGEST:g} are "
            "allowed. Write NaN for a missing value."
        )
    return np.ascontiguousarray(array, dtype=np.float32)
