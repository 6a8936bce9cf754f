"""Transforms of the target: fitted on a training panel, applied to any, and undone on forecasts.

T rows, N windows, H horizon, Q quantiles. NaN stays NaN. Every inverse is monotone, so that quantiles keep
their order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import polars as pl

from tidewright.catalog import Catalog, Entry
from tidewright.data.forecast import CUTOFF, Forecast, level_names
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.data.schema import Schema, align, describe_panel
from tidewright.errors import ConfigError, DataError, ShortSeriesError
from tidewright.features.scaling import Doubles, MinMax, Standard, fit_scaling, replace_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """log(y + offset), for values above -offset; the default offset 1 takes zeros."""

    offset: float = 1.0
    name: Literal["log"] = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The change from `lag` steps before: 1 for steps, a season for seasonal differences."""

    lag: int = 1
    name: Literal["difference"] = "difference"

    def __post_init__(self) -> None:
        if self.lag < 1:
            raise ConfigError(f"the lag of a difference is a number of steps, 1 or more; got {self.lag}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Several transforms, one after the other; each is fitted on what the ones before it give."""

    steps: tuple[TransformSpec, ...]
    name: Literal["chain"] = "chain"


TransformSpec = Standard | MinMax | Log | Difference | Chain

TRANSFORMS = Catalog(
    "transform",
    [
        Entry("standard", "tidewright.features.scaling:Standard", "less the mean, over the deviation", "target"),
        Entry("minmax", "tidewright.features.scaling:MinMax", "moved to 0 to 1", "target"),
        Entry("log", "tidewright.features.transforms:Log", "log of the value plus an offset", "target"),
        Entry("difference", "tidewright.features.transforms:Difference", "the change over a lag", "target"),
        Entry("chain", "tidewright.features.transforms:Chain", "several, one after the other", "several"),
        Entry("window", "tidewright.features.scaling:fit_windows", "each window by its own history", "window"),
    ],
)


class Transform(Protocol):
    """A fitted transform of a panel's target. It is never changed by what it is asked."""

    @property
    def spec(self) -> TransformSpec:
        """What it is."""
        ...

    def apply(self, panel: Panel) -> Panel:
        """The panel with its target transformed, row for row."""
        ...

    def invert(self, values: Doubles, *, panel: Panel, rows: Ints) -> Doubles:
        """Forecasts [N, H, Q] made at the flat rows [N] of `panel` (the original one), on the original scale.

        Nothing of the panel after those rows is used.
        """
        ...


def fit_transform_spec(spec: TransformSpec, panel: Panel) -> Transform:
    """The transform fitted on a training panel: give it `panel.until(...)`, no row of validation or test.

    Series that training did not have are scaled by the numbers of the whole training panel. A panel of another
    target or frequency is refused, when it is transformed and when a forecast of it is brought back.

    >>> days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 6), eager=True)
    >>> table = pl.DataFrame({"day": days, "sold": [1.0, 3.0, 1.0, 3.0, 9.0, 7.0]})
    >>> panel = Panel.from_table(table, time="day", target="sold")
    >>> transform = fit_transform_spec(Chain(steps=(Log(), Standard())), panel.until(3))
    >>> transform.apply(panel).target.round(2)
    array([-1.  ,  1.  , -1.  ,  1.  ,  3.64,  3.  ])
    >>> transform.invert(np.array([[[1.0], [3.0]]]), panel=panel, rows=np.array([3])).round(6).tolist()
    [[[3.0], [7.0]]]
    """
    roles = replace(panel.roles, past=(), known=(), static=())
    return Bound(_fit(spec, panel), describe_panel(panel, roles))


def _fit(spec: TransformSpec, panel: Panel) -> Transform:
    if isinstance(spec, (Standard, MinMax)):
        return fit_scaling(spec, panel)
    if isinstance(spec, Chain):
        steps: list[Transform] = []
        for step in spec.steps:
            steps.append(_fit(step, panel))
            panel = steps[-1].apply(panel)
        return Chained(spec, tuple(steps))
    fitted = Logarithm(spec) if isinstance(spec, Log) else Differenced(spec)
    fitted.apply(panel)  # training data that can't be transformed fail here
    return fitted


def invert_forecast(transform: Transform, forecast: Forecast, *, panel: Panel) -> Forecast:
    """A Forecast of the transformed panel as one of the original `panel`, quantiles and all.

    Raises `DataError` for a cutoff that the panel does not have. So a model learns from the transformed panel, and its
    forecast comes back:

    >>> from tidewright.data.forecast import tabulate
    >>> table = pl.DataFrame({"step": range(4), "sold": [1.0, 2.0, 4.0, 8.0]})
    >>> panel = Panel.from_table(table, time="step", target="sold")
    >>> transform = fit_transform_spec(Chain(steps=(Log(offset=0.0), Difference())), panel)
    >>> learned = np.nanmean(transform.apply(panel).target)  # the simplest of models: the mean growth
    >>> made = tabulate(panel, np.full((1, 2, 1), learned), rows=panel.ends, levels=(0.5,), model="mean")
    >>> invert_forecast(transform, made, panel=panel).table["0.5"].round(6).to_list()
    [16.0, 32.0]
    """
    keys = [name for name in (forecast.roles.series, forecast.roles.time) if name is not None]
    asked = [CUTOFF if name == forecast.roles.time else name for name in keys]
    index = panel.table.select(keys).with_row_index("row")
    made = forecast.table.select(asked).join(index, left_on=asked, right_on=keys, how="left", maintain_order="left")
    if made["row"].null_count():
        place = made.filter(pl.col("row").is_null()).row(0)
        raise DataError(
            f"the panel has no row {place[:-1]}, at which a forecast was made. Give it the panel it was made from."
        )
    names = level_names(forecast.levels)
    values = forecast.table.select(names).to_numpy()
    rows = made["row"].to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    horizon = len(rows) // max(len(starts), 1)
    if (np.diff(np.append(starts, len(rows))) != horizon).any():
        raise DataError("the forecast does not have the same number of steps for each series and cutoff.")
    cube = values.reshape(len(starts), horizon, len(names))
    back = transform.invert(cube, panel=panel, rows=rows[starts]).reshape(-1, len(names))
    columns = [pl.Series(name, back[:, q]) for q, name in enumerate(names)]
    return replace(forecast, table=forecast.table.with_columns(columns))


@dataclass(frozen=True, eq=False)
class Bound:
    """A fitted transform, and the target and the grid that it was fitted on: it takes no panel of others."""

    transform: Transform
    schema: Schema

    @property
    def spec(self) -> TransformSpec:
        """See `Transform.spec`."""
        return self.transform.spec

    def apply(self, panel: Panel) -> Panel:
        """See `Transform.apply`. Raises `ColumnError` and `FrequencyError` as `align` does."""
        align(panel, self.schema)
        return self.transform.apply(panel)

    def invert(self, values: Doubles, *, panel: Panel, rows: Ints) -> Doubles:
        """See `Transform.invert`. Raises as `apply` does."""
        align(panel, self.schema)
        return self.transform.invert(values, panel=panel, rows=rows)


@dataclass(frozen=True, eq=False)
class Logarithm:
    """A fitted `Log`."""

    spec: Log

    def apply(self, panel: Panel) -> Panel:
        """See `Transform.apply`. Raises `DataError` for a value at or below -offset."""
        offset = self.spec.offset
        low = np.flatnonzero(panel.target <= -offset)
        if low.size:
            raise DataError(
                f"{panel.place(int(low[0]))} has the value {panel.target[low[0]]:g}, and log(y + {offset:g}) needs "
                f"more than {-offset:g} ({low.size} such rows). Choose a larger offset, or another transform."
            )
        return replace_target(panel, np.log1p(panel.target + (offset - 1.0)))

    def invert(self, values: Doubles, *, panel: Panel, rows: Ints) -> Doubles:
        """See `Transform.invert`. Raises `DataError` where the result is beyond float64."""
        if values.size and np.nanmax(values, initial=-np.inf) > 700.0:
            raise DataError(
                f"a forecast of {np.nanmax(values):g} in logs is beyond any number. The model went astray, "
                "or the values are not in logs."
            )
        return np.asarray(np.expm1(values) - (self.spec.offset - 1.0))


@dataclass(frozen=True, eq=False)
class Differenced:
    """A fitted `Difference`."""

    spec: Difference

    def apply(self, panel: Panel) -> Panel:
        """See `Transform.apply`. The first `lag` rows of a series become missing.

        Raises `ShortSeriesError` for a series of which nothing would be left.
        """
        lag = self.spec.lag
        before = np.full(len(panel.target), np.nan)
        before[lag:] = panel.target[:-lag]
        first = np.arange(len(before)) - panel.offsets[panel.codes] < lag
        values = panel.target - np.where(first, np.nan, before)
        left = np.add.reduceat((~np.isnan(values)).astype(np.int64), panel.offsets[:-1])
        if not left.all():
            name = panel.series_ids[int(np.argmin(left > 0))]
            raise ShortSeriesError(
                f"series {name!r} has no two observed values {lag} steps apart, so nothing of it is left after "
                "differences. Choose a smaller lag, or drop the series."
            )
        return replace_target(panel, values)

    def invert(self, values: Doubles, *, panel: Panel, rows: Ints) -> Doubles:
        """See `Transform.invert`: each step is added to the value `lag` steps before it, observed or
        forecast.

        A missing value of the last `lag` rows counts as the observed one before it; where there is none, the
        steps built on it are NaN. Quantiles add up as if all steps erred alike: the bands of later steps are
        wide rather than narrow.
        """
        lag, horizon = self.spec.lag, values.shape[1]
        level = _last_values(panel, rows, lag)
        out = np.empty(values.shape)
        for step in range(horizon):
            base = level[:, step % lag, None] if step < lag else out[:, step - lag]
            out[:, step] = values[:, step] + base
        return out


@dataclass(frozen=True, eq=False)
class Chained:
    """A fitted `Chain`."""

    spec: Chain
    steps: tuple[Transform, ...]

    def apply(self, panel: Panel) -> Panel:
        """See `Transform.apply`."""
        for step in self.steps:
            panel = step.apply(panel)
        return panel

    def invert(self, values: Doubles, *, panel: Panel, rows: Ints) -> Doubles:
        """See `Transform.invert`."""
        seen = [panel]
        for step in self.steps[:-1]:
            seen.append(step.apply(seen[-1]))
        for step, original in zip(reversed(self.steps), reversed(seen), strict=True):
            values = step.invert(values, panel=original, rows=rows)
        return values


def _last_values(panel: Panel, rows: Ints, count: int) -> Doubles:
    """The last `count` values up to each row [N, count], a missing one as the observed one before it in its
    series.
    """
    place = np.where(np.isnan(panel.target), -1, np.arange(len(panel.target)))
    place = np.maximum.accumulate(place)
    index = rows[:, None] + np.arange(1 - count, 1)
    start = panel.offsets[panel.codes[rows]][:, None]
    found = place[np.maximum(index, 0)]
    return np.where((index >= start) & (found >= start), panel.target[found], np.nan)
