"""The border of the stage: arrays from the caller, checked once; errors name the asset and the date.

T bars, A assets. Arrays come out as C-contiguous float64, so that a row's sums never depend on the other
rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.labels import check_names, name_assets

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]

_NO_SPREAD = 1e-14
_FEW_BELOW = 0.005  # share of returns below -1 that a wild series has; of a calm day's percent it is a tenth


def read_matrix(values: ArrayLike, *, noun: str) -> FloatArray:
    """A table of numbers [rows, A], C-contiguous; text and other shapes are refused."""
    try:
        matrix = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AllocationError(f"{noun} hold something that is no number ({error}). Bring numbers only.") from error
    if matrix.ndim != 2:
        raise AllocationError(
            f"{noun} have the shape {np.shape(values)}; rows are bars and columns are assets. Bring a table [T, A]."
        )
    return matrix


def read_assets(assets: Sequence[str], *, columns: int) -> tuple[str, ...]:
    """The names, one a column and none twice."""
    names = check_names(assets)
    if len(names) != columns or columns == 0:
        raise AllocationError(
            f"{columns} columns came with {len(names)} asset names. Give one name a column, in the columns' order."
        )
    if len(set(names)) < columns:
        doubled = next(name for name in names if names.count(name) > 1)
        raise AllocationError(f"the asset {doubled!r} is named more than once. Keep one column an asset.")
    return names


def read_times(times: ArrayLike, *, rows: int) -> TimeArray:
    """The bars' times: numpy datetime64, one a row, each later than the one before."""
    stamps = np.asarray(times)
    if stamps.dtype.kind != "M":
        raise AllocationError(
            f"times are of type {stamps.dtype}; dates must be numpy datetime64. Convert them with "
            "numpy.asarray(times, dtype='datetime64[ns]')."
        )
    if stamps.shape != (rows,):
        raise AllocationError(f"{rows} rows came with times of shape {stamps.shape}. Give one time a row.")
    if np.isnat(stamps).any():
        row = int(np.flatnonzero(np.isnat(stamps))[0])
        raise AllocationError(f"the time of row {row} is NaT. Give every row its time.")
    late = np.flatnonzero(np.diff(stamps) <= np.timedelta64(0))
    if late.size:
        row = int(late[0]) + 1
        same = stamps[row] == stamps[row - 1]
        problem = "comes twice" if same else f"comes after {name_time(stamps, row=row - 1)}"
        remedy = "Keep one row a date." if same else "Sort the rows by time."
        raise AllocationError(f"{name_time(stamps, row=row)} (row {row}) {problem}. {remedy}")
    return stamps


def name_time(times: TimeArray | None, *, row: int) -> str:
    """The date of a row as people write it, or its number where there are no dates."""
    if times is None:
        return f"row {row}"
    return str(times[row].astype("datetime64[s]")).removesuffix("T00:00:00")


def read_returns(returns: ArrayLike, *, assets: Sequence[str], times: ArrayLike | None = None) -> FloatArray:
    """Returns [T, A] for an allocation: at least two rows, all finite, no asset constant and none a price."""
    values = read_matrix(returns, noun="returns")
    names = read_assets(name_assets(returns, assets), columns=values.shape[1])
    rows = values.shape[0]
    stamps = None if times is None else read_times(times, rows=rows)
    if rows < 2:
        raise AllocationError(
            f"{rows} row{'' if rows == 1 else 's'} of returns can't tell how assets vary; at least 2 are needed. Ask "
            "for a longer lookback."
        )
    _refuse_cells(~np.isfinite(values), values=values, names=names, times=stamps, noun="return")
    refuse_prices(values, names=names)
    constant = np.flatnonzero(has_no_spread(values))
    if constant.size:
        asset = int(constant[0])
        raise AllocationError(
            f"the return of {names[asset]!r} is {values[0, asset] + 0.0:g} in all of the {rows} rows: "
            "without variance it has no risk to weigh. Leave the asset out, or mend its stale prices."
        )
    return values


def has_no_spread(values: FloatArray) -> NDArray[np.bool_]:
    """Whether each column [A] is the same in all rows, but for rounding; False where one is missing or infinite."""
    lowest, highest = values.min(axis=0), values.max(axis=0)
    with np.errstate(invalid="ignore"):
        still = highest / 2 - lowest / 2 <= _NO_SPREAD * np.maximum(1.0, np.abs(highest))
    return np.asarray(still & np.isfinite(highest))


def read_prices(prices: ArrayLike, *, assets: Sequence[str], times: TimeArray, noun: str = "price") -> FloatArray:
    """Prices [T, A] above zero; NaN says that the asset can't be traded at that bar."""
    values = read_matrix(prices, noun=f"{noun}s")
    names = read_assets(assets, columns=values.shape[1])
    if values.shape[0] != times.size:
        raise AllocationError(f"{values.shape[0]} rows of {noun}s came with {times.size} times. Give one row a time.")
    if not (
        values.min(initial=np.inf) > 0.0 and values.max(initial=0.0) < np.inf
    ):  # a table without gaps is most often right
        wrong = np.isinf(values) | (values <= 0.0)
        _refuse_cells(wrong, values=values, names=names, times=times, noun=noun)
    return values


_REMEDIES = {
    "return": "Fill or drop those rows before allocating.",
    "price": "A price is above zero and finite; use NaN for a bar without one.",
    "open": "An open is above zero and finite; use NaN for a bar without one.",
    "high": "A high is above zero and finite; use NaN for a bar without one.",
    "low": "A low is above zero and finite; use NaN for a bar without one.",
}


def _refuse_cells(
    wrong: NDArray[np.bool_],
    *,
    values: FloatArray,
    names: tuple[str, ...],
    times: TimeArray | None,
    noun: str,
) -> None:
    if wrong.any():
        row, asset = (int(place) for place in np.argwhere(wrong)[0])
        raise AllocationError(
            f"the {noun} of {names[asset]!r} at {name_time(times, row=row)} is {values[row, asset]:g} "
            f"({int(wrong.sum())} such of {wrong.size}). {_REMEDIES[noun]}"
        )


def refuse_prices(values: FloatArray, *, names: tuple[str, ...]) -> None:
    """Prices taken for returns: an asset that gains more than all of its value, or a fifth of it, in
    every row."""
    floor = 1.0 if values.shape[0] < 5 else 0.2
    lowest = np.fmin.reduce(values, axis=0)  # a missing one says nothing
    high = np.flatnonzero(lowest > floor)
    if high.size:
        asset = int(high[0])
        raise AllocationError(
            f"every one of the {values.shape[0]} returns of {names[asset]!r} is above {floor:.0%}, from "
            f"{lowest[asset]:g} to {np.nanmax(values[:, asset]):g}: these look like prices. Pass simple returns as "
            "fractions (returns_from_prices makes them)."
        )


def tell_percent(values: FloatArray, *, assets: Sequence[str]) -> tuple[str, ...]:
    """A note on returns that no fraction is below: all that comes of them is in their unit."""
    low = np.argwhere(values < -1.0)
    if len(low) <= _FEW_BELOW * values.size:
        return ()
    row, asset = (int(place) for place in low[0])
    return (
        f"{len(low)} returns are below -1, such as {values[row, asset]:g} of {assets[asset]!r}: if these are percent, "
        "so is what stands here",
    )
