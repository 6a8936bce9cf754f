"""`explain_change`: why a forecast is another one than before: revised data, known covariates, new data, another model.

S series that both have, T rows of the two tables laid over each other, H steps that both forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Frequency, Ints
from tidewright.data.panel import Panel
from tidewright.data.regrid import regrid
from tidewright.data.task import refuse_classes
from tidewright.errors import ConfigError, DataError
from tidewright.features.windows import Doubles, make_windows
from tidewright.models.fitted import Fitted
from tidewright.training.fit import read_panel

Cause = Literal["revised data", "known covariates", "new data", "model"]
CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True, eq=False, slots=True)
class Vintage:
    """What a forecast was made from: a model, a panel, and a cutoff on the panel's grid (default: its last value)."""

    fitted: Fitted
    panel: Panel
    cutoff: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """The change of a forecast by cause, for S series and the H steps that both vintages forecast.

    `stages` [1 + causes, S, H] are the forecasts on the way: before, then with one cause after the other, the last of
    which is after. So the parts add up to the whole; in another order they may be other ones.
    """

    causes: tuple[Cause, ...]
    stages: Doubles
    series: tuple[Any, ...]
    times: pl.Series
    names: tuple[str, str]

    @property
    def parts(self) -> Doubles:
        """What each cause changed [causes, S, H]."""
        return np.diff(self.stages, axis=0)

    def table(self) -> pl.DataFrame:
        """A row for each series and time: before, each cause, after."""
        count, steps = self.stages.shape[1:]
        columns: dict[str, Any] = {
            self.names[0]: [name for name in self.series for _ in range(steps)],
            self.names[1]: pl.concat([self.times] * count),
            "before": self.stages[0].reshape(-1),
        }
        columns |= {cause: part.reshape(-1) for cause, part in zip(self.causes, self.parts, strict=True)}
        return pl.DataFrame({**columns, "after": self.stages[-1].reshape(-1)})

    def summary(self) -> pl.DataFrame:
        """Each cause: the mean of what it changed, and of its size."""
        mean = self.parts.mean(axis=(1, 2))
        return pl.DataFrame({"cause": self.causes, "mean": mean, "mean_size": np.abs(self.parts).mean(axis=(1, 2))})


def explain_change(
    before: Vintage, after: Vintage, *, order: Sequence[Cause] = CAUSES, quantile: float = 0.5
) -> Change:
    """The change between two forecasts at the times that both are about, one cause after the other in `order`.

    "revised data": what the second panel says of the target, past and static columns up to the first cutoff; "known
    covariates": what it says of the known ones; "new data": the cutoff rolls on to the second one; "model": the second
    model answers. What one cause does is measured with the causes before it done and those after it not. Series that
    only one panel has, or that have no value as far back as a model looks, are left out. Raises `ConfigError` for an
    order that is not of all four causes, or a quantile that a model has not; `DataError` where there is nothing to
    compare.
    """
    for one in (before, after):
        if not isinstance(one, Vintage):
            raise ConfigError(f"a change is between two Vintage(fitted, panel); got {type(one).__name__}.")
    if sorted(order) != sorted(CAUSES):
        raise ConfigError(f"the order names each cause once, of {', '.join(CAUSES)}; got {', '.join(order)}.")
    for one in (before, after):
        refuse_classes(one.fitted.task, "an account of a change")
    both = _lay_over(before, after, quantile=quantile)
    stages = np.stack([both.answer(order[:count]) for count in range(len(order) + 1)])
    told = np.asarray(np.isfinite(stages).all(axis=(0, 2)))
    if not told.any():
        raise DataError(
            f"no series has values before {before.panel.time_at(both.cutoffs[0])} in both panels, as far back as the "
            "models look. Bring more rows."
        )
    times = before.panel.moments(np.arange(both.cutoffs[1] + 1, both.last + 1))
    roles = before.panel.roles
    series = tuple(name for name, one in zip(both.series, told.tolist(), strict=True) if one)
    return Change(tuple(order), stages[:, told], series, times, (roles.series or "series", roles.time))


@dataclass(frozen=True, eq=False, slots=True)
class _Both:
    """Two panels on the same T rows and the grid of the older; each model is asked on the grid of its own."""

    models: tuple[Fitted, Fitted]
    panels: tuple[Panel, Panel]
    grids: tuple[Frequency, Frequency]
    cutoffs: tuple[int, int]
    last: int
    quantile: float

    @property
    def series(self) -> tuple[Any, ...]:
        return self.panels[0].series_ids

    def answer(self, done: Sequence[Cause]) -> Doubles:
        """The forecast [S, H] when some causes have taken place."""
        fitted = self.models["model" in done]
        cutoff = self.cutoffs["new data" in done]
        mixed = self._mix(done, roles=self.panels["model" in done])
        rows = mixed.offsets[:-1] + (cutoff - mixed.positions[mixed.offsets[:-1]])
        panel = read_panel(fitted, regrid(mixed, self.grids["model" in done]))
        windows = make_windows(panel, fitted.view, horizon=fitted.task.horizon, rows=rows)
        column = fitted.task.quantiles.index(self.quantile)
        steps = slice(self.cutoffs[1] - cutoff, self.last - cutoff)
        return fitted.predict(windows)[:, steps, column]

    def _mix(self, done: Sequence[Cause], *, roles: Panel) -> Panel:
        """The panel between the two: each column from the one whose word counts at a row."""
        old, new = self.panels
        early = old.positions <= self.cutoffs[0]
        seen = old.positions <= self.cutoffs[0] + self.models[0].task.horizon  # what is later the older one did not see
        newer_history = np.ones(len(early), dtype=np.bool_) if "revised data" in done else ~early
        newer_known = np.ones(len(early), dtype=np.bool_) if "known covariates" in done else ~seen
        columns = {}
        for name in (roles.roles.target, *roles.roles.past, *roles.roles.known):
            newer = newer_known if name in roles.roles.known else newer_history
            columns[name] = pl.Series(name, _choose(old, new, name, newer)).fill_nan(None)
        statics = new if "revised data" in done else old
        for name in roles.roles.static:
            columns[name] = (statics if name in statics.roles.static else roles).table[name]
        table = old.table.select(c for c in (old.roles.series, old.roles.time) if c is not None)
        return replace(old, table=table.with_columns(**columns), roles=roles.roles)


def _choose(old: Panel, new: Panel, name: str, newer: Any) -> Doubles:
    """A column [T]: the newer panel's where `newer`, and everywhere if the older one lacks it."""
    if name not in old.roles.columns:
        return new.values(name)
    return np.where(newer, new.values(name), old.values(name)) if name in new.roles.columns else old.values(name)


def _lay_over(before: Vintage, after: Vintage, *, quantile: float) -> _Both:
    """The two vintages on common rows. Raises where they can't be compared."""
    for fitted in (before.fitted, after.fitted):
        if quantile not in fitted.task.quantiles:
            raise ConfigError(
                explain_unknown(f"quantile of {fitted.spec.name}", quantile, map(str, fitted.task.quantiles))
            )
    old, new = before.panel, after.panel
    first = old.span[1] if before.cutoff is None else before.cutoff
    second = new.span[1] if after.cutoff is None else after.cutoff
    grid = old.frequency
    moved = regrid(new, grid)
    second = int(grid.positions(new.frequency.times(np.array([second])))[0])
    last = first + min(before.fitted.task.horizon, after.fitted.task.horizon)
    if not first <= second < last:
        raise DataError(
            f"the forecasts from {old.time_at(first)} and from {old.time_at(second)} have no time in common. Give the "
            "earlier one first, and two that are closer than the horizon."
        )
    pair = _align(old, moved, last=second + after.fitted.task.horizon, cutoff=first)
    return _Both((before.fitted, after.fitted), pair, (grid, new.frequency), (first, second), last, quantile)


def _align(old: Panel, new: Panel, *, last: int, cutoff: int) -> tuple[Panel, Panel]:
    """Both panels with the series that both have at the cutoff, on the same rows, up to the position `last`."""
    if old.roles.series is None and new.roles.series is None:
        pairs = [(0, 0)]
    else:
        numbers: Mapping[Any, int] = {name: number for number, name in enumerate(new.series_ids)}
        pairs = [(n, numbers[name]) for n, name in enumerate(old.series_ids) if name in numbers]
    bounds = [(_bounds(old, one), _bounds(new, two)) for one, two in pairs]
    kept = [place for place, both in enumerate(bounds) if max(start for start, _ in both) <= cutoff]
    if not kept:
        raise DataError("the two panels have no series in common at the first cutoff. Give two vintages of one panel.")
    spans = [(min(a[0], b[0]), max(a[1], b[1], last)) for a, b in (bounds[place] for place in kept)]
    return (
        _spread(old, [pairs[place][0] for place in kept], spans),
        _spread(new, [pairs[place][1] for place in kept], spans),
    )


def _bounds(panel: Panel, series: int) -> tuple[int, int]:
    """The first and the last position of a series."""
    return int(panel.positions[panel.offsets[series]]), int(panel.positions[panel.offsets[series + 1] - 1])


def _spread(panel: Panel, series: Sequence[int], spans: Sequence[tuple[int, int]]) -> Panel:
    """The panel with some series, each from one position to another; rows that it lacks are empty."""
    lengths = np.array([end - start + 1 for start, end in spans])
    positions = np.concatenate([np.arange(start, end + 1) for start, end in spans])
    codes = np.repeat(np.array(series), lengths)
    begin = panel.positions[panel.offsets[:-1]][codes]
    place = positions - begin + panel.offsets[:-1][codes]
    inside = (positions >= begin) & (place < panel.offsets[1:][codes])
    rows: Ints = np.where(inside, place, panel.offsets[:-1][codes])
    fixed = [name for name in (panel.roles.series, *panel.roles.static) if name is not None]
    moving = [name for name in panel.roles.columns if name not in (*fixed, panel.roles.time)]
    columns: dict[str, Any] = {name: panel.table[name].gather(rows) for name in fixed}
    columns[panel.roles.time] = panel.moments(positions)
    columns |= {name: pl.Series(np.where(inside, panel.values(name)[rows], np.nan)).fill_nan(None) for name in moving}
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(panel, table=pl.DataFrame(columns), offsets=offsets, positions=positions.astype(np.int64))
