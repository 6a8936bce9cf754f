"""What a series is beside others of its kind at the same time: totals, shares and ranks of groups.

T rows in all, S series, G groups. Static columns say who belongs together. A number at row t uses rows of the same
time of the group's series, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError
from tidewright.features.columns import add_columns, pair_columns, role_of
from tidewright.features.flat import Doubles, whole_numbers
from tidewright.features.lags import lag_columns

GROUP_STATISTICS = ("sum", "mean", "count", "share", "rank")


def add_groups(
    panel: Panel,
    *,
    by: Sequence[str] = (),
    column: str | None = None,
    statistics: Sequence[str] = ("sum", "share", "rank"),
    horizon: int | None = None,
) -> Panel:
    """The panel with what a column (default: the target) is in its group at the same time, as further columns.

    A group is the series with the same values of the static columns `by`; without any it is all series. "sum", "mean"
    and "count" are over the values that are observed then; "share" is the row's own part of the sum, and "rank" its
    place from 0 (lowest) to 1 (highest), (r - 0.5) / n with ties at their mean. Null where none is observed, or for
    shares and ranks where the row's own value isn't. Columns are called sales_store_sum, or sales_all_sum.

    They are `past` columns, or `known` ones where the column itself is known. With a `horizon` of H rows they are as
    they were H rows before (sales_store_sum_lag28) and so `known` over a horizon of H: nothing that a forecast has yet
    to find is in them. Give the task's own horizon: over a longer one they would show what is asked for, so every fit
    and forecast refuses them there. Raises `ColumnError` for a column in `by` that isn't static.

    >>> import polars as pl
    >>> table = pl.DataFrame({"shop": ["a", "a", "b", "b"], "t": [0, 1, 0, 1], "sold": [1.0, 5.0, 3.0, 5.0]})
    >>> panel = Panel.from_table(table, series="shop", time="t", target="sold")
    >>> add_groups(panel).matrix(["sold_all_sum", "sold_all_share", "sold_all_rank"]).T
    array([[ 4.  , 10.  ,  4.  , 10.  ],
           [ 0.25,  0.5 ,  0.75,  0.5 ],
           [ 0.25,  0.5 ,  0.75,  0.5 ]])
    """
    if isinstance(statistics, str):
        raise ConfigError(f"statistics are a sequence of names; got the text {statistics!r}. Write ({statistics!r},).")
    for wanted in statistics:
        if wanted not in GROUP_STATISTICS:
            raise UnknownNameError(explain_unknown("group statistic", wanted, GROUP_STATISTICS))
    name = panel.roles.target if column is None else column
    values = panel.values(name)
    cells = at_once(panel, group_codes(panel, by)[0])
    made = [_summarise(values, cells, wanted) for wanted in statistics]
    names = [f"{name}_{'_'.join(by) or 'all'}_{wanted}" for wanted in statistics]
    if horizon is None:
        return add_columns(panel, pair_columns(names, made), role=role_of(panel, name), reach=panel.reach.get(name))
    whole_numbers("a horizon", [horizon], least=1)
    late = [lag_columns(column, panel.offsets, [horizon])[:, 0] for column in made]
    own = panel.reach.get(name, None if name in panel.roles.known else 0)
    late_names = [f"{name}_lag{horizon}" for name in names]
    reach = None if own is None else own + horizon
    return add_columns(panel, pair_columns(late_names, late), role="known", reach=reach)


def group_codes(panel: Panel, by: Sequence[str]) -> tuple[Ints, list[tuple[object, ...]]]:
    """The number of each series' group [S], and the groups' values of the static columns `by`, in order of number."""
    if isinstance(by, str):
        raise ConfigError(f"groups are by a sequence of columns; got the text {by!r}. Write ({by!r},).")
    if len(set(by)) < len(by):
        raise ConfigError(f"groups are by different columns; got {[*by]}. Name each once.")
    for name in by:
        if name not in panel.roles.static:
            raise ColumnError(explain_unknown("static column", name, panel.roles.static))
    rows = panel.table[panel.offsets[:-1]].select(by).rows() if by else [()] * panel.n_series
    numbers: dict[tuple[object, ...], int] = {}
    return np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=np.int64), list(numbers)


def at_once(panel: Panel, groups: Ints) -> Ints:
    """The number of each row's group and time [T]: rows of one group and one time have the same one."""
    first = int(panel.positions.min())
    span = int(panel.positions.max()) - first + 1
    cells = groups[panel.codes] * span + (panel.positions - first)
    if cells.max() >= 4 * len(cells):  # a table of all groups and times would be mostly empty
        cells = np.unique(cells, return_inverse=True)[1]
    return np.asarray(cells, dtype=np.int64)


def sum_cells(values: Doubles, cells: Ints) -> tuple[Doubles, Doubles]:
    """The sum and the count of the observed values of each cell, added up in the order of rows."""
    seen = ~np.isnan(values)
    size = int(cells.max()) + 1
    total = np.bincount(cells[seen], weights=values[seen], minlength=size).astype(np.float64)
    return total, np.bincount(cells[seen], minlength=size).astype(np.float64)


def _summarise(values: Doubles, cells: Ints, statistic: str) -> Doubles:
    if statistic == "rank":
        return _rank(values, cells)
    total, count = sum_cells(values, cells)
    if statistic == "count":
        return count[cells]
    total = np.where(count > 0.0, total, np.nan)[cells]
    if statistic == "sum":
        return total
    by = count[cells] if statistic == "mean" else total
    of = total if statistic == "mean" else values
    return np.asarray(np.divide(of, by, out=np.full(len(values), np.nan), where=by != 0.0))


def _rank(values: Doubles, cells: Ints) -> Doubles:
    seen = np.flatnonzero(~np.isnan(values))
    order = seen[np.lexsort((values[seen], cells[seen]))]
    out = np.full(len(values), np.nan)
    if order.size:
        own, cell = values[order], cells[order]
        starts_cell = np.append(True, cell[1:] != cell[:-1])
        starts_tie = starts_cell | np.append(True, own[1:] != own[:-1])
        below, count = _runs(starts_cell)
        first, ties = _runs(starts_tie)
        out[order] = (first - below + 0.5 * ties) / count  # the mean of the ranks of a tie, less a half
    return out


def _runs(starts: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[Ints, Ints]:
    """Where the run of each place begins, and how long it is."""
    begins = np.flatnonzero(starts)
    lengths = np.diff(np.append(begins, len(starts)))
    return np.repeat(begins, lengths), np.repeat(lengths, lengths)
