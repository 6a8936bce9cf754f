"""Volatility measured over a rolling window, from returns or from open, high, low and close. T bars, A assets.

The figure of a bar is told from the `window` bars that end with it, and from none after. A window that is not full yet,
or holds NaN, gives NaN. With `periods_per_year` it is annualised by its root, else it is that of one bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real, check_whole
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    name_time,
    read_assets,
    read_matrix,
    read_times,
    refuse_prices,
)

RangeMethod = Literal["parkinson", "garman_klass", "rogers_satchell", "yang_zhang"]
ROUNDING = 1e-9  # relative: adjusted prices are rounded one by one
PRICES = ("open", "high", "low", "close")


def realised_volatility(
    returns: ArrayLike,
    *,
    window: int,
    mean: Literal["zero", "sample"] = "zero",
    periods_per_year: float | None = None,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
) -> FloatArray:
    """The rolling volatility [T, A] of simple returns [T, A] as fractions.

    mean "zero": the root of the mean square (Andersen and Bollerslev 1998; the mean of a short bar's return is next to
    nothing); "sample": the standard deviation about the window's own mean, ddof = 1. Infinite returns are an
    AllocationError.

    >>> realised_volatility([[0.01], [-0.01], [0.02]], window=2).round(4).ravel().tolist()
    [nan, 0.01, 0.0158]
    """
    values = read_matrix(returns, noun="returns")
    names, stamps = _read_labels(values, assets=assets, times=times)
    _check_window(window, least=1 if mean == "zero" else 2, periods_per_year=periods_per_year)
    if mean not in ("zero", "sample"):
        raise ConfigError(explain_unknown("mean", mean, ("zero", "sample")))
    _refuse(np.isinf(values), values, names=names, times=stamps, noun="return", remedy="Fill it, or make it NaN.")
    refuse_prices(values, names=names)
    if mean == "zero":
        return _annualise(_roll(values**2, window=window) / window, periods_per_year)
    return _annualise(_roll_spread(values, window=window), periods_per_year)


def range_volatility(
    opens: ArrayLike,
    highs: ArrayLike,
    lows: ArrayLike,
    closes: ArrayLike,
    *,
    method: RangeMethod,
    window: int,
    periods_per_year: float | None = None,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
) -> FloatArray:
    """The rolling volatility [T, A] of prices [T, A], from each bar's range.

    "parkinson": high and low (Parkinson 1980). "garman_klass": all four (Garman and Klass 1980, their practical
    estimator). "rogers_satchell": allows a drift (Rogers and Satchell 1991). These three see the bar alone and nothing
    of the gap from the close before; "yang_zhang" has it (Yang and Zhang 2000, k of least variance), so that its
    first figure comes a bar later. NaN says that the bar has no price. A price that is not positive, or a high or low
    that others exceed, is an AllocationError that names the asset and the date.

    >>> prices = [[10.0]], [[11.0]], [[9.0]], [[10.0]]
    >>> range_volatility(*prices, method="parkinson", window=1).round(4).tolist()
    [[0.1205]]
    """
    given = [
        read_matrix(values, noun=f"{noun}s") for noun, values in zip(PRICES, (opens, highs, lows, closes), strict=True)
    ]
    if len({values.shape for values in given}) > 1:
        shapes = ", ".join(f"{noun}s {values.shape}" for noun, values in zip(PRICES, given, strict=True))
        raise AllocationError(f"the prices differ in shape: {shapes}. Bring four tables [T, A] of the same bars.")
    names, stamps = _read_labels(given[0], assets=assets, times=times)
    if method not in RANGES:
        raise ConfigError(explain_unknown("method", method, RANGES))
    _check_window(window, least=2 if method == "yang_zhang" else 1, periods_per_year=periods_per_year)
    for noun, values in zip(PRICES, given, strict=True):
        wrong = np.isinf(values) | (values <= 0.0)
        remedy = "A price is above zero and finite; use NaN for a bar without one."
        _refuse(wrong, values, names=names, times=stamps, noun=noun, remedy=remedy)
    _refuse_crossed(given, names=names, times=stamps)
    opened, high, low, closed = (np.log(values) for values in given)
    return _annualise(RANGES[method](opened, high, low, closed, window), periods_per_year)


def _parkinson(opens: FloatArray, highs: FloatArray, lows: FloatArray, closes: FloatArray, window: int) -> FloatArray:
    there = 0.0 * (opens + closes)  # a bar without an open or close counts as missing everywhere
    return _roll((highs - lows) ** 2 / (4.0 * math.log(2.0)) + there, window=window) / window


def _garman_klass(
    opens: FloatArray, highs: FloatArray, lows: FloatArray, closes: FloatArray, window: int
) -> FloatArray:
    squares = 0.5 * (highs - lows) ** 2 - (2.0 * math.log(2.0) - 1.0) * (closes - opens) ** 2
    return _roll(squares, window=window) / window


def _rogers_satchell(
    opens: FloatArray, highs: FloatArray, lows: FloatArray, closes: FloatArray, window: int
) -> FloatArray:
    squares = (highs - closes) * (highs - opens) + (lows - closes) * (lows - opens)
    return _roll(squares, window=window) / window


def _yang_zhang(opens: FloatArray, highs: FloatArray, lows: FloatArray, closes: FloatArray, window: int) -> FloatArray:
    gaps = np.full_like(opens, np.nan)
    gaps[1:] = opens[1:] - closes[:-1]
    share = 0.34 / (1.34 + (window + 1) / (window - 1))
    days = _rogers_satchell(opens, highs, lows, closes, window)
    open_to_close = _roll_spread(closes - opens, window=window)
    return _roll_spread(gaps, window=window) + share * open_to_close + (1.0 - share) * days


RANGES: Mapping[str, Callable[[FloatArray, FloatArray, FloatArray, FloatArray, int], FloatArray]] = MappingProxyType(
    {
        "parkinson": _parkinson,
        "garman_klass": _garman_klass,
        "rogers_satchell": _rogers_satchell,
        "yang_zhang": _yang_zhang,
    }
)


def _roll(values: FloatArray, *, window: int) -> FloatArray:
    """Sums over windows: each added up anew, in the same order, so that no bar leaves a trace in later ones."""
    sums = np.full_like(values, np.nan)
    rows = len(values) - window + 1
    if rows > 0:
        total = values[:rows].copy()
        for step in range(1, window):
            total += values[step : step + rows]
        sums[window - 1 :] = total
    return sums


def _roll_spread(values: FloatArray, *, window: int) -> FloatArray:
    """Variances over windows, ddof = 1, about each window's own mean."""
    means = _roll(values, window=window) / window
    spread = np.full_like(values, np.nan)
    rows = len(values) - window + 1
    if rows > 0:
        centre = means[window - 1 :]
        total = np.zeros_like(centre)
        for step in range(window):
            total += (values[step : step + rows] - centre) ** 2
        spread[window - 1 :] = total / (window - 1)
    return spread


def _annualise(variance: FloatArray, periods_per_year: float | None) -> FloatArray:
    # the range estimators can come out a rounding below zero where nothing moved
    return np.sqrt(np.maximum(variance, 0.0) * (periods_per_year or 1.0))


def _check_window(window: int, *, least: int, periods_per_year: float | None) -> None:
    check_whole("window", window, least=least)
    if periods_per_year is not None:
        check_real("periods_per_year", periods_per_year, words="a number above 0", low=0.0, open_low=True)


def _read_labels(
    values: FloatArray, *, assets: Sequence[str] | None, times: ArrayLike | None
) -> tuple[tuple[str, ...], TimeArray | None]:
    given = [f"column {place}" for place in range(values.shape[1])] if assets is None else assets
    names = read_assets(given, columns=values.shape[1])
    return names, None if times is None else read_times(times, rows=len(values))


def _refuse(
    wrong: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    values: FloatArray,
    *,
    names: tuple[str, ...],
    times: TimeArray | None,
    noun: str,
    remedy: str,
) -> None:
    if wrong.any():
        row, asset = (int(place) for place in np.argwhere(wrong)[0])
        place = f"the {noun} of {names[asset]!r} at {name_time(times, row=row)}"
        raise AllocationError(f"{place} is {values[row, asset]:g} ({int(wrong.sum())} such of {wrong.size}). {remedy}")


def _refuse_crossed(given: Sequence[FloatArray], *, names: tuple[str, ...], times: TimeArray | None) -> None:
    opens, highs, lows, closes = given
    for noun, values, other in (("open", opens, highs), ("close", closes, highs), ("low", lows, highs)):
        _refuse_above(values, other, names=names, times=times, words=(noun, "high"))
    for noun, values in (("open", opens), ("close", closes)):
        _refuse_above(lows, values, names=names, times=times, words=("low", noun))


def _refuse_above(
    lower: FloatArray, upper: FloatArray, *, names: tuple[str, ...], times: TimeArray | None, words: tuple[str, str]
) -> None:
    wrong = lower > upper * (1.0 + ROUNDING)
    if wrong.any():
        row, asset = (int(place) for place in np.argwhere(wrong)[0])
        raise AllocationError(
            f"the {words[0]} of {names[asset]!r} at {name_time(times, row=row)} is {lower[row, asset]:g}, above its "
            f"{words[1]} of {upper[row, asset]:g} ({int(wrong.sum())} such of {wrong.size}). Look whether columns are "
            "swapped or prices adjusted by halves."
        )
