"""Returns and figures as they come from the caller, for all of risk. T bars, A assets."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time, read_matrix, refuse_prices

MOST = 1e50  # a return: its fourth power can still be summed


def refuse_returns(values: FloatArray, *, assets: tuple[str, ...], times: TimeArray | None) -> None:
    """Returns below -100 %, infinite and endless ones and prices are refused; NaN is a missing one."""
    wrong = np.argwhere((np.abs(values) > MOST) | (values < -1.0))
    if len(wrong):
        row, asset = (int(place) for place in wrong[0])
        raise AllocationError(
            f"the return of {assets[asset]!r} at {name_time(times, row=row)} is {values[row, asset]:g} ({len(wrong)} "
            "such). A simple return is finite and at least -1, or NaN where it is missing; divide percent by 100."
        )
    if len(values) == 0:
        raise AllocationError("there are no rows of returns. Bring one row a bar.")
    refuse_prices(values, names=assets)


def read_column(values: ArrayLike, *, noun: str, advice: str) -> FloatArray:
    """One row of numbers, for a list of them; text and tables are refused."""
    shape = np.shape(values)
    if len(shape) != 1 or isinstance(values, dict):
        raise AllocationError(f"{noun} have the shape {shape}. {advice}")
    return np.array(read_matrix(np.reshape(values, (1, -1)), noun=noun)[0])
