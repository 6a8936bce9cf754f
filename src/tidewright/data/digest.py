"""`digest_panel`: the name of a panel's content."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.panel import Panel


def digest_panel(panel: Panel) -> str:
    """Thirty-two hexadecimal digits (blake2b) of everything that a model could see of a panel.

    Rows are hashed in order of series and time, so that the order in which they came changes nothing, and
    numbers as float64, so that the kind of table they came in changes nothing. Any changed value, name of a
    column, series or time gives another digest.
    """
    state = blake2b(digest_size=16)
    order = np.argsort(np.array([repr(one) for one in panel.series_ids]), kind="stable")
    rows = np.concatenate([np.arange(panel.offsets[s], panel.offsets[s + 1]) for s in order])
    _add_text(state, [panel.frequency.name, *map(repr, (panel.series_ids[s] for s in order))])
    state.update(np.diff(panel.offsets)[order].astype("<i8").tobytes())
    times = panel.frequency.times(panel.positions[rows])
    state.update(np.asarray(times).astype("<i8").tobytes())
    roles = panel.roles
    _add_text(state, [roles.series or "", roles.time, roles.target])
    for role, columns in {"target": (roles.target,), "past": roles.past, "known": roles.known}.items():
        for name in columns:
            _add_text(state, [role, name])
            _add_column(state, panel.table[name][rows])
    for name in roles.static:
        _add_text(state, ["static", name])
        _add_column(state, panel.table[name][panel.offsets[:-1][order]])
    return state.hexdigest()


def _add_column(state: Any, column: pl.Series) -> None:
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        _add_text(state, ["\0" if value is None else f"={value}" for value in column.to_list()])
        return
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy(writable=True) + 0.0  # -0.0 is 0.0
    numbers[np.isnan(numbers)] = np.nan  # one NaN of the many
    state.update(numbers.astype("<f8").tobytes())


def _add_text(state: Any, parts: list[str]) -> None:
    """Each part with its length before it, so that no two lists read alike."""
    encoded = [part.encode() for part in parts]
    state.update(np.array([len(encoded), *map(len, encoded)], dtype="<i8").tobytes())
    state.update(b"".join(encoded))
