"""Sessions of exchanges, from exchange_calendars."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.errors import UnknownNameError
from tidewright.optional import require

FIRST, LAST = "1970-01-01", "2035-12-31"


def list_sessions(calendar: str) -> npt.NDArray[np.datetime64]:
    """The trading days [D] of an exchange (datetime64[D], ascending), given its ISO 10383 code such as XNYS.

    From the later of 1970 and the calendar's own start to the earlier of 2035 and its own end.
    """
    package = require("exchange_calendars", extra="market", purpose=f"the calendar {calendar}")
    names = package.get_calendar_names(include_aliases=False)
    if calendar not in names:
        raise UnknownNameError(explain_unknown("calendar", calendar, names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package's own calls of pandas, not the user's
        kind = type(package.get_calendar(calendar))
        start = max(np.datetime64(FIRST), _bound(kind.bound_min(), FIRST))
        end = min(np.datetime64(LAST), _bound(kind.bound_max(), LAST))
        sessions = package.get_calendar(calendar, start=str(start), end=str(end)).sessions
    return np.asarray(sessions.values).astype("datetime64[D]")


def _bound(limit: object, otherwise: str) -> np.datetime64:
    return np.datetime64(otherwise if limit is None else str(limit)[:10])
