"""`View`: what a model sees of a panel: how far back, which calendar columns, and how static columns become
numbers.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.panel import Panel
from tidewright.data.schema import Schema, align, describe_panel
from tidewright.errors import ConfigError
from tidewright.features.calendar import calendar_columns

MOST_LEVELS = 128
MOST_STEPS = 1_000_000  # of a bundle's lookback and horizon
FEW_VALUES = 8  # a column with no more values than this is a flag or a class, which has no level to move


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
    """The encoding of a training panel's static columns; at most 128 levels a column, the commonest ones."""
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

    `relative` puts past and known covariates in units of the window, as the target is: less their mean and over their
    deviation within its lookback. That is for covariates whose level drifts from year to year, such as the wind power
    of a growing park, or whose level says less than how they stand to the days before. Networks then see these instead
    of covariates in units of their training rows, trees see them and what they are above the seasons before besides.
    Columns of at most 8 values in training (flags, classes) and calendar columns stay as they are.

    `log` has the model see and learn log(y + log) of the target in place of y: 0 for what is above 0, 1 where there are
    zeros. That is for what grows by shares, and where an error counts by its share. Windows and forecasts stay in the
    target's own unit (see models/logged).

    The view of a fitted model has the `schema` of what it learned from, and reads every panel by it. It is no part of
    what is asked for: two views that differ in nothing else are equal, and a `fit` writes its own.
    """

    lookback: int
    calendar: tuple[str, ...] = ()
    static: StaticEncoding = field(default_factory=StaticEncoding)
    relative: bool = False
    log: float | None = None
    schema: Schema | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.log is not None and not (isfinite(self.log) and self.log >= 0.0):
            raise ConfigError(f"view.log is added to the target before its logarithm, 0 or more; got {self.log!r}.")

    @property
    def waves(self) -> int:
        """How many known features, the last ones, are made from the times."""
        return 2 * len(self.calendar)

    def read(self, panel: Panel) -> Panel:
        """The panel as the model learned to see it, with columns by name; raises as `align` does."""
        return panel if self.schema is None else align(panel, self.schema)


def keep_schema(view: View, panel: Panel, *, takes: Container[str]) -> View:
    """The view with the schema of what is learned from: the panel's grid, and its columns of the kinds `takes`."""
    roles = panel.roles
    used = replace(
        roles,
        past=roles.past if "past" in takes else (),
        known=roles.known if "known" in takes else (),
        static=tuple(name for name, _ in view.static.columns) if "static" in takes else (),
    )
    whole = [kind for kind in ("past", "known") if kind in takes]
    whole += ["static"] if used.static and set(used.static) == set(roles.static) else []
    return replace(view, schema=describe_panel(panel, used, kinds=tuple(whole)))


def drifting_columns(table: npt.NDArray[np.float32], *, keep: int = 0) -> npt.NDArray[np.bool_]:
    """Which columns [F] of training rows [T, F] can be put in units of the window: those of more than eight values.

    The last `keep` never.

    >>> drifting_columns(np.column_stack([np.arange(20.0), np.arange(20.0) % 2, np.arange(20.0)]), keep=1)
    array([ True, False, False])
    """
    found = [len(np.unique(column[np.isfinite(column)])) > FEW_VALUES for column in table.T]
    return np.array(found, dtype=np.bool_) & (np.arange(len(found)) < len(found) - keep)


def known_matrix(panel: Panel, view: View) -> npt.NDArray[np.float32]:
    """The known covariates [T, K]: the panel's own columns, then the calendar's."""
    own = panel.matrix(panel.roles.known).astype(np.float32)
    return np.hstack([own, calendar_columns(panel, view.calendar)]) if view.calendar else own
