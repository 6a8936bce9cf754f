"""What a record says of itself where people look: a few lines, whatever its arrays hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW = 6  # numbers and names that are shown one by one
_WIDE = 110  # characters of a line


def show(record: Any, *, by_asset: Sequence[str] = ()) -> str:
    """The repr of a frozen record: small fields as they are, arrays by shape and range, long lists by their beginning.

    Fields in `by_asset` have a number an asset, and are shown with the names of the record's `assets`.
    """
    parts = [
        f"{one.name}={_say(getattr(record, one.name), record.assets if one.name in by_asset else ())}"
        for one in fields(record)
        if one.repr
    ]
    line = f"{type(record).__name__}({', '.join(parts)})"
    return line if len(line) <= _WIDE else f"{type(record).__name__}(\n  " + ",\n  ".join(parts) + "\n)"


def time_column(times: NDArray[np.datetime64] | None, *, rows: int) -> dict[str, NDArray[Any]]:
    """The first column of a record's table: `time` in a unit that polars has, or `row` where there are no times."""
    return {"row": np.arange(rows)} if times is None else {"time": times.astype("datetime64[us]")}


def _say(value: Any, assets: Sequence[str] = ()) -> str:
    if isinstance(value, np.ndarray):
        return _say_array(value, assets)
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, tuple) and len(value) > _FEW:
        return f"({', '.join(map(repr, value[:3]))}, ... {len(value)} in all)"
    if isinstance(value, Mapping):
        some = [f"{name!r}: {_say(one)}" for name, one in list(value.items())[:_FEW]]
        return f"{{{', '.join(some)}{f', ... {len(value)} in all' if len(value) > _FEW else ''}}}"
    return repr(value).replace("\n", "\n  ")


def _say_array(values: NDArray[Any], assets: Sequence[str]) -> str:
    shape = f"[{', '.join(map(str, values.shape))}]"
    if not values.size:
        return shape
    if values.dtype.kind == "M":
        return f"{shape} from {_say_time(values.flat[0])} to {_say_time(values.flat[-1])}"
    if values.dtype.kind != "f":
        return str(values.tolist()) if values.ndim == 1 and values.size <= _FEW else shape
    if assets:
        named = [f"{name} {value:.4g}" for name, value in zip(assets[:_FEW], values, strict=False)]
        return f"[{', '.join(named)}{f', ... {values.size} in all' if values.size > _FEW else ''}]"
    if values.ndim == 1 and values.size <= _FEW:
        return f"[{', '.join(f'{value:.4g}' for value in values)}]"
    known = values[~np.isnan(values)]
    missing = f", {values.size - known.size} NaN" if known.size < values.size else ""
    return f"{shape} from {known.min():.4g} to {known.max():.4g}{missing}" if known.size else f"{shape}, all NaN"


def _say_time(value: np.datetime64) -> str:
    return str(value.astype("datetime64[s]")).removesuffix("T00:00:00")
