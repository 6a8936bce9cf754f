"""`View`: what a model sees of a panel: how far back, which calendar columns, and how static columns become
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.panel import Panel
from tidewright.features.calendar import calendar_columns

MOST_LEVELS = 64


@dataclass(frozen=True, slots=True)
class StaticEncoding:
    """How static columns become M numbers: numbers as they are, text as one column a level seen in training.

    `columns` holds (name, levels); levels is empty for a numeric column. An unseen level is all zeros.
    """

    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def encode(self, panel: Panel) -> npt.NDArray[np.float32]:
        """The static features [S, M]."""
        first = panel.table[panel.offsets[:-1]]
        parts: list[Any] = []
        for name, levels in self.columns:
            if levels:
                text = first[name].cast(pl.String).to_numpy()
                parts += [(text == level).astype(np.float32) for level in levels]
            else:
                parts.append(first[name].cast(pl.Float32).fill_null(float("nan")).to_numpy())
        return np.column_stack(parts) if parts else np.empty((panel.n_series, 0), dtype=np.float32)


def fit_static(panel: Panel) -> StaticEncoding:
    """The encoding of a training panel's static columns; at most 64 levels a column, the commonest ones."""
    first = panel.table[panel.offsets[:-1]]
    columns = []
    for name in panel.roles.static:
        values = first[name]
        levels: tuple[str, ...] = ()
        if not values.dtype.is_numeric():
            counts = values.drop_nulls().value_counts(sort=True).sort("count", name, descending=[True, False])
            levels = tuple(sorted(counts[name].head(MOST_LEVELS).to_list()))
        columns.append((name, levels))
    return StaticEncoding(tuple(columns))


@dataclass(frozen=True, slots=True)
class View:
    """What a model sees: `lookback` rows (L), the panel's own covariates, and `calendar` columns made from
    the times.
    """

    lookback: int
    calendar: tuple[str, ...] = ()
    static: StaticEncoding = field(default_factory=StaticEncoding)


def known_matrix(panel: Panel, view: View) -> npt.NDArray[np.float32]:
    """The known covariates [T, K]: the panel's own columns, then the calendar's."""
    own = panel.matrix(panel.roles.known).astype(np.float32)
    return np.hstack([own, calendar_columns(panel, view.calendar)]) if view.calendar else own
