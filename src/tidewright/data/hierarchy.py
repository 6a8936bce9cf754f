"""`Hierarchy`: series that add up to totals, and the panel in which the totals are series too.

B bottom series, J nodes (totals first, then the bottom series), K levels above the bottom one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel, check_panel
from tidewright.errors import ColumnError, ConfigError, DataError

TOTAL, LEVEL = "total", "level"
Levels = Sequence[str | Sequence[str]]
_LEVEL = (str, Sequence)


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Which nodes there are and what each is the sum of. Make one with `build_hierarchy`.

    `nodes` are the J names: the total, one a group of each level such as "State=CA" or "State=CA/Store=1", and last the
    B series' own names as text. `levels` [K] are the columns of each level above the series, the total's none; `parts`
    [K, B] says which node each series is part of there.
    """

    levels: tuple[tuple[str, ...], ...]
    nodes: tuple[str, ...]
    bottom: tuple[Any, ...]
    parts: npt.NDArray[np.int64]

    @cached_property
    def summing(self) -> npt.NDArray[np.float64]:
        """The matrix [J, B] that makes all nodes from the series: 1 where a series is part of a node."""
        places = np.arange(len(self.bottom))
        found = np.zeros((len(self.nodes), len(self.bottom)))
        for part in (*self.parts, len(self.nodes) - len(self.bottom) + places):
            found[part, places] = 1.0
        return found

    @property
    def level_names(self) -> tuple[str, ...]:
        """The level of each node [J]: "total", the columns of its group such as "State/Store", or "series"."""
        above = ["/".join(level) or TOTAL for level in self.levels]
        groups = [above[k] for k, part in enumerate(self.parts) for _ in np.unique(part)]
        return (*groups, *["series"] * len(self.bottom))


def build_hierarchy(panel: Panel, *, levels: Levels) -> Hierarchy:
    """The hierarchy of a panel's series by static columns. The total and the series themselves are always nodes.

    A level is a column, or several together: `["State", ("State", "Dept")]`, or "State/Dept" as text. Levels may nest
    or cross. Raises `ColumnError` for a column that is not static, `DataError` for a missing value in one.

    >>> days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 3), eager=True)
    >>> columns = {"shop": ["a"] * 3 + ["b"] * 3, "state": ["CA"] * 6, "day": pl.concat([days, days]), "sold": range(6)}
    >>> panel = Panel.from_table(pl.DataFrame(columns), series="shop", time="day", target="sold", static=["state"])
    >>> tree = build_hierarchy(panel, levels=["state"])
    >>> tree.nodes
    ('total', 'state=CA', 'a', 'b')
    >>> aggregate(panel, tree).select(["total"]).target
    array([3., 5., 7.])
    """
    check_panel(panel, "a hierarchy")
    if panel.roles.series is None:
        raise DataError("a table of one series has no totals. Bring a table with a series column.")
    if (
        isinstance(levels, str)
        or not isinstance(levels, Sequence)
        or not all(isinstance(one, _LEVEL) for one in levels)
    ):
        raise ConfigError(f"levels are a sequence of columns, such as ['state', 'state/dept']; got {levels!r}.")
    groups = ((), *(tuple(level.split("/")) if isinstance(level, str) else tuple(level) for level in levels))
    if len(set(groups)) != len(groups):
        raise ConfigError(f"each level is named once, by one column or more; got {[*levels]}.")
    nodes: list[str] = []
    parts = []
    for group in groups:
        labels = _label(panel, group)
        names, index = np.unique(labels, return_inverse=True)
        parts.append(index + len(nodes))
        nodes += [str(name) for name in names]
    nodes += [str(name) for name in panel.series_ids]
    if len(set(nodes)) != len(nodes):
        twice = next(name for number, name in enumerate(nodes) if name in nodes[:number])
        raise DataError(f"two nodes of the hierarchy would be called '{twice}'. Rename the series.")
    return Hierarchy(groups, tuple(nodes), tuple(panel.series_ids), np.array(parts, dtype=np.int64))


def aggregate(panel: Panel, hierarchy: Hierarchy) -> Panel:
    """The panel of all nodes, in their order: any model can learn from it.

    A total is the sum over its series. A gap within a series makes the total missing there; before its first and after
    its last observed value a series counts as nothing: it had not begun, or had ended. Past and known covariates are
    the mean over the series; static columns stay for the nodes that have one value of them. The static column "level"
    is new. Raises `DataError` for a panel of other series.
    """
    check_panel(panel, "a panel of totals")
    if not isinstance(hierarchy, Hierarchy):
        raise ConfigError(f"a hierarchy is what build_hierarchy makes of a panel; got {hierarchy!r:.80}.")
    if tuple(panel.series_ids) != hierarchy.bottom:
        raise DataError("the panel has other series than the hierarchy. Build the hierarchy from this panel.")
    if LEVEL in panel.table.columns:
        raise ColumnError("the panel has a column 'level', which its totals need. Rename it.")
    rows = _flat(panel)
    made = [_sum_up(rows, hierarchy.parts[k], columns=level, panel=panel) for k, level in enumerate(hierarchy.levels)]
    bottom = np.arange(panel.n_series) + len(hierarchy.nodes) - panel.n_series
    own = rows.with_columns(pl.Series("node", bottom[panel.codes]))
    columns = ["node", "position", panel.roles.target, *_shared(panel), *panel.roles.static]
    table = pl.concat([part.select(columns) for part in (*made, own)], how="vertical_relaxed")
    return _as_panel(table, panel=panel, hierarchy=hierarchy)


def _label(panel: Panel, group: tuple[str, ...]) -> list[str]:
    """The name of each series' group [B]."""
    first = panel.table[panel.offsets[:-1]]
    for column in group:
        if column not in panel.roles.static:
            raise ColumnError(explain_unknown("static column", column, panel.roles.static))
        if first[column].null_count():
            raise DataError(f"static column '{column}' is missing for some series, so they are in no group. Fill it.")
    if not group:
        return [TOTAL] * panel.n_series
    texts = [[f"{c}={v:g}" if isinstance(v, float) else f"{c}={v}" for v in first[c].to_list()] for c in group]
    return ["/".join(parts) for parts in zip(*texts, strict=True)]


def _shared(panel: Panel) -> list[str]:
    return [*panel.roles.past, *panel.roles.known]


def _flat(panel: Panel) -> pl.DataFrame:
    """The panel's numbers with their grid positions, and which target is missing within its series."""
    seen = ~np.isnan(panel.target)
    count = np.add.accumulate(seen)
    before = np.concatenate([[0], count])[panel.offsets[:-1]][panel.codes]
    inside = (count > before) & (np.arange(len(seen)) <= panel.ends[panel.codes])
    return panel.table.with_columns(
        pl.Series("position", panel.positions), pl.Series("gap", inside & ~seen), pl.Series("code", panel.codes)
    )


def _sum_up(rows: pl.DataFrame, part: Ints, *, columns: tuple[str, ...], panel: Panel) -> pl.DataFrame:
    """The nodes of one level: sums of the target, means of the covariates."""
    target = panel.roles.target
    node = pl.Series("node", part)[panel.codes]
    last = panel.span[1]
    found = rows.with_columns(node).group_by("node", "position").agg(
        pl.col(target).sum(), pl.col("gap").any(), *(pl.col(name).mean() for name in _shared(panel)),
        *(pl.col(name).first() if name in columns else pl.lit(None, dtype=rows[name].dtype).alias(name)
          for name in panel.roles.static),
    )  # fmt: skip
    unknown = pl.col("gap") | (pl.col("position") > last)
    return found.with_columns(pl.when(unknown).then(None).otherwise(pl.col(target)).alias(target))


def _as_panel(table: pl.DataFrame, *, panel: Panel, hierarchy: Hierarchy) -> Panel:
    """Rows of nodes on the grid, without a gap, as a panel."""
    roles = panel.roles
    assert roles.series is not None
    spans = table.group_by("node").agg(
        pl.col("position").min().alias("first"), pl.col("position").max().alias("last"),
        *(pl.col(name).first() for name in roles.static),
    ).sort("node")  # fmt: skip
    grid = spans.with_columns(pl.int_ranges("first", pl.col("last") + 1).alias("position")).explode("position")
    full = grid.select("node", "position", *roles.static).join(
        table.drop(roles.static), on=["node", "position"], how="left", maintain_order="left"
    )
    node, positions = full["node"].to_numpy(), full["position"].to_numpy().astype(np.int64)
    full = full.with_columns(
        pl.Series(roles.series, hierarchy.nodes)[node].alias(roles.series),
        pl.Series(LEVEL, hierarchy.level_names)[node].alias(LEVEL),
        panel.moments(positions).alias(roles.time),
    )
    roles = replace(roles, static=(*roles.static, LEVEL))
    offsets = np.append(np.flatnonzero(np.diff(node, prepend=-1)), len(node)).astype(np.int64)
    return replace(panel, table=full.select(roles.columns), roles=roles, offsets=offsets, positions=positions)
