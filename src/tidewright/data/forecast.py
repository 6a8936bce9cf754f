"""`Forecast`: what a model says of the future, as a table with its times.

N windows, H horizon, Q quantiles, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.frequency import Ints
from tidewright.data.panel import Native, Panel, Roles
from tidewright.data.task import Label
from tidewright.errors import ColumnError

CUTOFF, MODEL, CLASS = "cutoff", "model", "class"


@dataclass(frozen=True, eq=False)
class Forecast:
    """A row for each series, cutoff and future time, a column for each quantile level, named by it ("0.1").

    The series and time columns have the user's own names; the point forecast is the column "0.5". Of a target of
    `classes` there are no levels: a column for the probability of each class, named by it, and the most probable one in
    the column "class". `notes` say what is unusual of how it was made.
    """

    table: pl.DataFrame
    roles: Roles
    levels: tuple[float, ...]
    native: Native = "polars"
    classes: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()

    def to_native(self) -> Any:
        """The table in the kind of the panel that was given (pandas, polars or Arrow)."""
        from tidewright.data.border import to_native

        return to_native(self.table, self.native)


def level_names(levels: tuple[float, ...]) -> list[str]:
    """The column names of quantile levels.

    >>> level_names((0.1, 0.5))
    ['0.1', '0.5']
    """
    return [f"{level:g}" for level in levels]


def tabulate(
    panel: Panel,
    values: npt.NDArray[np.floating[Any]],
    *,
    rows: Ints,
    levels: tuple[float, ...],
    model: str,
    classes: tuple[Label, ...] = (),
) -> Forecast:
    """A Forecast from values [N, H, Q] (or [N, H, K]) made at the flat rows `rows` [N] of a panel, each a cutoff.

    Raises `ColumnError` where the panel's series or time column, or a class, has the name of one of the table's own.
    """
    count, horizon, _ = values.shape
    names = [str(name) for name in classes] or level_names(levels)
    own = (CUTOFF, MODEL, CLASS) if classes else (CUTOFF, MODEL)
    given = (panel.roles.series, panel.roles.time)
    for what, name in (*(("column", one) for one in given), *(("class", one) for one in names)):
        if name in own or (what == "column" and name in names):
            raise ColumnError(f"the {what} '{name}' has a name that a forecast's table needs. Rename it.")
    cutoffs = panel.positions[rows]
    positions = (cutoffs[:, None] + np.arange(1, horizon + 1)).reshape(-1)
    columns: dict[str, Any] = {}
    if panel.roles.series is not None:
        ids = panel.table[panel.roles.series][rows]
        columns[panel.roles.series] = ids[np.repeat(np.arange(count), horizon)]
    columns[CUTOFF] = panel.moments(np.repeat(cutoffs, horizon))
    columns[panel.roles.time] = panel.moments(positions)
    for q, name in enumerate(names):
        columns[name] = np.ascontiguousarray(values[:, :, q]).reshape(-1).astype(np.float64)
    if classes:
        columns[CLASS] = pl.Series(classes).gather(values.argmax(axis=2).reshape(-1))
    table = pl.DataFrame(columns).with_columns(pl.lit(model).alias(MODEL))
    return Forecast(table, panel.roles, levels, panel.native, classes)
