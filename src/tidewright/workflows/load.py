"""The panel of a run: a user's table, or the packaged market of 20 stocks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from tidewright.data.border import to_polars
from tidewright.data.layout import SERIES, STEP, VALUE, melt_columns, melt_rows
from tidewright.data.panel import Panel, Roles
from tidewright.errors import ConfigError, RepairWarning
from tidewright.workflows.settings import DataSettings, RunSettings


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """What a run works on: the panel that is forecast and, for a market, the prices behind its returns."""

    panel: Panel
    prices: Panel | None
    name: str


def load(settings: RunSettings, table: Any = None) -> Loaded:
    """The panel of a run; repairs are on the panel, and are told by the caller rather than as warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        if settings.recipe == "market":
            if table is not None or settings.data.path is not None:
                given = settings.data.path or type(table).__name__
                raise ConfigError(f"recipe=market has its own 20 US stocks; got a table too ({given}). Leave one out.")
            return _load_market()
        source = settings.data.path if table is None else table
        if source is None:
            raise ConfigError("no table was given. Give a CSV or Parquet file, or leave all out for recipe=market.")
        name = str(source) if settings.data.path else type(source).__name__
        return Loaded(read_panel(source, settings.data, classes=settings.kind == "classify"), None, name)


def read_panel(source: Any, data: DataSettings, *, classes: bool = False) -> Panel:
    """The panel of a table in any of the three layouts; a long one may have a target of classes."""
    if data.layout == "long":
        return Panel.from_table(
            source,
            time=_need(data.time, "time", source),
            target=_need(data.target, "target", source),
            series=data.series,
            past=data.past,
            known=data.known,
            static=data.static,
            frequency=data.frequency,
            calendar=data.calendar,
            classes=classes,
        )
    covariates = [name for name in (*data.past, *data.known, *data.static)]
    if covariates:
        raise ConfigError(
            f"layout={data.layout} has no columns for covariates, but {covariates} were named. Bring a long table."
        )
    if data.layout == "columns":
        time = _need(data.time, "time", source)
        columns = tuple(data.target.split(",")) if data.target else ()
        long = melt_columns(source, time=time, columns=columns)
    else:
        time = STEP
        long = melt_rows(source, series=_need(data.series, "series", source))
    series = SERIES if data.layout == "columns" else data.series
    return Panel.from_table(
        long, series=series, time=time, target=VALUE, frequency=data.frequency, calendar=data.calendar
    )


def lengthen(source: Any, *, layout: str, roles: Roles, columns: tuple[str, ...] = ()) -> Any:
    """A table in any layout as the long one that a bundle with these roles reads; a long one as it is.

    `columns` are the series of layout columns (default: all but the time). Raises `ConfigError` where the bundle
    learned from another layout.
    """
    learned = "long" if roles.target != VALUE else "rows" if roles.time == STEP else "columns"
    if learned == layout == "columns":
        return melt_columns(source, time=roles.time, columns=columns)
    if learned == layout == "rows" and roles.series is not None:
        return melt_rows(source, series=roles.series)
    if layout != "long" or (learned != "long" and VALUE not in to_polars(source)[0].columns):
        raise ConfigError(
            f"this bundle learned from a table in layout {learned}; got {layout}. Say --layout {learned}."
        )
    return source


def _need(name: str | None, role: str, source: Any) -> str:
    if name is not None:
        return name
    columns = to_polars(source)[0].columns
    raise ConfigError(
        f"which column is the {role}? Name it with --{role} (data.{role}=). The table has: {', '.join(columns[:20])}."
    )


def _load_market() -> Loaded:
    from tidewright.data.market import CALENDAR, DATE, PRICE, STOCK, load_market, to_returns

    prices = Panel.from_table(load_market(), series=STOCK, time=DATE, target=PRICE, calendar=CALENDAR)
    return Loaded(to_returns(prices), prices, "20 US stocks (skfolio's packaged S&P 500 sample)")
