"""A table of predictions, from a model here or from a user's own file, checked before it moves any weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.border import to_polars
from tidewright.data.forecast import CUTOFF, MODEL, Forecast, level_names
from tidewright.data.panel import Repair
from tidewright.data.times import parse_times
from tidewright.errors import AllocationError, ColumnError
from tidewright.portfolio.forecasts.predictions import Predictions
from tidewright.portfolio.inputs import name_time

_PRICE = 0.2  # no market's expected return a step; a price is far above


def read_predictions(
    table: Any,
    *,
    assets: Sequence[str] | None = None,
    model: str | None = None,
    series: str | None = None,
    time: str | None = None,
) -> Predictions:
    """The predictions in a table: a row for each series, cutoff and time, a column for each quantile level ("0.5").

    `table` is a `Forecast`, a pandas, polars or Arrow table, or the path of a .csv or .parquet file, such as
    `tidewright predict` writes. `series` and `time` are the names of its columns (those of a `Forecast`'s panel, else
    "series" and "time"); "cutoff" and "model" keep theirs, and the latter may be missing. Values are simple returns of
    each step.
    With `assets` a series that is none of them is an error; without, the table's own order is taken. A table of several
    models needs `model`. Raises `ColumnError` for columns, `AllocationError` for values.
    """
    given, names = _open(table, series=series, time=time)
    given, said = _choose_model(given, model)
    levels = _find_levels(given, names=names)
    notes: list[str] = []
    clean = given.select(
        _names(given, names.series, alone=assets).alias("series"),
        _moments(given, CUTOFF, notes).alias("cutoff"),
        _moments(given, names.time, notes).alias("time"),
        *(_numbers(given, name).alias(f"level {place}") for place, name in enumerate(levels)),
    )
    order = tuple(clean["series"].unique(maintain_order=True)) if assets is None else tuple(assets)
    _check_rows(clean, levels=levels, order=order, told=assets is not None)
    silent = [name for name in order if name not in set(clean["series"])]
    if silent:
        notes.append(f"{len(silent)} assets have no predictions, such as {silent[0]!r}")
    return _arrange(clean.sort("cutoff", "series", "time"), order=order, levels=levels, model=said, notes=tuple(notes))


def tabulate_predictions(predictions: Predictions) -> pl.DataFrame:
    """The table that `read_predictions` reads: series, cutoff, time, a column for each level, model; a row for each
    step of each asset that has a prediction."""
    there = np.isfinite(predictions.quantiles).all(axis=(2, 3))
    cutoff, asset = np.nonzero(there)
    horizon = predictions.times.shape[1]
    columns: dict[str, Any] = {
        "series": np.repeat(np.array(predictions.assets, dtype=object)[asset], horizon).tolist(),
        CUTOFF: np.repeat(predictions.cutoffs[cutoff], horizon),
        "time": predictions.times[cutoff].reshape(-1),
    }
    values = predictions.quantiles[there]
    for place, name in enumerate(level_names(tuple(predictions.levels.tolist()))):
        columns[name] = values[..., place].reshape(-1)
    return pl.DataFrame(columns).with_columns(pl.lit(predictions.model).alias(MODEL))


@dataclass(frozen=True, slots=True)
class _Names:
    series: str | None
    time: str


def _open(table: Any, *, series: str | None, time: str | None) -> tuple[pl.DataFrame, _Names]:
    if isinstance(table, Forecast):
        if table.classes:
            raise AllocationError("the forecast is of classes. Predict returns to move weights.")
        return table.table, _Names(series or table.roles.series, time or table.roles.time)
    given, _ = to_polars(table)
    names = _Names(series or "series", time or "time")
    for what, name in (("series", names.series), ("time", names.time), ("cutoff", CUTOFF)):
        if name not in given.columns:
            remedy = "Rename it." if what == "cutoff" else f"Name it with {what}=."
            raise ColumnError(f"the table of predictions has no column {name!r}, but {given.columns}. {remedy}")
    if given.is_empty():
        raise AllocationError("the table of predictions is empty. Bring at least one row.")
    return given, names


def _choose_model(given: pl.DataFrame, model: str | None) -> tuple[pl.DataFrame, str]:
    if MODEL not in given.columns:
        return given, model or "unnamed"
    there = given[MODEL].cast(pl.String).unique(maintain_order=True).to_list()
    if model is None and len(there) > 1:
        raise AllocationError(f"the table holds {len(there)} models: {there}. Name one with model= (--model).")
    if model is not None and model not in there:
        raise AllocationError(f"the table holds no model {model!r}, but {there}.")
    chosen = model or str(there[0])
    return given.filter(pl.col(MODEL).cast(pl.String) == chosen), chosen


def _find_levels(given: pl.DataFrame, *, names: _Names) -> dict[str, float]:
    """Column name to level, in rising order."""
    levels: dict[str, float] = {}
    for name in given.columns:
        try:
            level = float(name)
        except ValueError:
            continue
        if name not in (names.series, names.time) and 0.0 < level < 1.0:
            levels[name] = level
    if 0.5 not in levels.values():
        raise ColumnError(f"the table of predictions has no column '0.5', the median, but {given.columns}.")
    if len(set(levels.values())) < len(levels):
        raise ColumnError(f"a quantile level has two columns among {list(levels)}. Keep one.")
    return dict(sorted(levels.items(), key=lambda pair: pair[1]))


def _names(given: pl.DataFrame, name: str | None, *, alone: Sequence[str] | None) -> pl.Series:
    if name is None:
        return pl.Series([alone[0] if alone else "series"] * given.height)
    if given[name].null_count():
        raise AllocationError(f"{given[name].null_count()} rows have no series in column {name!r}. Name every row.")
    return given[name].cast(pl.String)


def _moments(given: pl.DataFrame, name: str, notes: list[str]) -> pl.Series:
    """A column of dates as microseconds."""

    def announce(repair: Repair) -> None:
        notes.append(repair.detail)

    times = given[name]
    if times.null_count():
        raise AllocationError(f"{times.null_count()} rows have no time in column {name!r}. Date every row.")
    if times.dtype == pl.String:
        times = parse_times(times, name, announce)
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
        times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if not isinstance(times.dtype, (pl.Date, pl.Datetime)):
        raise ColumnError(f"column {name!r} holds {times.dtype}. Cutoffs and times of predictions are dates.")
    return times.cast(pl.Datetime("us"))


def _numbers(given: pl.DataFrame, name: str) -> pl.Series:
    if not given[name].dtype.is_numeric():
        raise ColumnError(f"column {name!r} holds {given[name].dtype}. A quantile level's column holds numbers.")
    return given[name].cast(pl.Float64).fill_null(float("nan"))


def _check_rows(clean: pl.DataFrame, *, levels: dict[str, float], order: tuple[str, ...], told: bool) -> None:
    stranger = clean.filter(~pl.col("series").is_in(list(order)))
    if told and stranger.height:
        others = stranger["series"].unique(maintain_order=True).to_list()
        raise AllocationError(
            f"{len(others)} predicted series are no asset: {others[:5]}. Leave them out, or add them."
        )
    _refuse(clean, clean["time"] <= clean["cutoff"], "is of its cutoff or before. A prediction is of a later time")
    doubled = clean.select("series", "cutoff", "time").is_duplicated()
    _refuse(clean, doubled, "comes twice. Keep one row for each series, cutoff and time")
    values = clean.select(pl.col("^level .*$")).to_numpy()
    bad = ~np.isfinite(values)
    _refuse(clean, pl.Series(bad.any(axis=1)), "is missing or infinite. Leave the row out, or mend it")
    crossing = pl.Series((np.diff(values, axis=1) < 0.0).any(axis=1))
    _refuse(clean, crossing, f"has quantiles that cross: they rise from {min(levels)} to {max(levels)}. Sort them")
    median = values[:, list(levels.values()).index(0.5)]
    if len(median) >= 5 and median.min() > _PRICE:
        raise AllocationError(
            f"every predicted value is above {_PRICE:.0%} (the least is {median.min():g}): these look like prices. "
            "Predict simple returns a step, as fractions."
        )
    low = pl.Series(median < -1.0)
    _refuse(clean, low, "loses more than everything. Predict simple returns as fractions: divide percent by 100")


def _refuse(clean: pl.DataFrame, wrong: pl.Series, what: str) -> None:
    if wrong.any():
        row = int(wrong.arg_true()[0])
        series, cutoff, time = (clean[name][row] for name in ("series", "cutoff", "time"))
        raise AllocationError(
            f"the prediction of {series!r} made at {cutoff} for {time} {what} ({int(wrong.sum())} such rows)."
        )


def _arrange(
    clean: pl.DataFrame, *, order: tuple[str, ...], levels: dict[str, float], model: str, notes: tuple[str, ...]
) -> Predictions:
    """The sorted rows as [C, A, H, Q]; every series has the same times at a cutoff, and every cutoff as many."""
    groups = clean.group_by("cutoff", "series", maintain_order=True).len()
    horizon = int(np.bincount(groups["len"].to_numpy()).argmax())
    ragged = groups.filter(pl.col("len") != horizon)
    if ragged.height:
        cutoff, name, steps = ragged.row(0)
        raise AllocationError(
            f"{name!r} has {steps} steps at {cutoff}, others have {horizon}. Bring the same horizon everywhere."
        )
    cutoffs, which = np.unique(groups["cutoff"].to_numpy(), return_inverse=True)
    column = np.array([order.index(name) for name in groups["series"]])
    steps = clean["time"].to_numpy().reshape(-1, horizon)
    times = np.empty((len(cutoffs), horizon), dtype=steps.dtype)
    times[which[::-1]] = steps[::-1]  # those of the first series stay
    apart = (times[which] != steps).any(axis=1)
    if apart.any():
        at = int(np.flatnonzero(apart)[0])
        raise AllocationError(
            f"{groups['series'][at]!r} is predicted for other times than the other series at "
            f"{name_time(cutoffs, row=int(which[at]))}. Put all series on one grid."
        )
    values = clean.select(pl.col("^level .*$")).to_numpy().reshape(-1, horizon, len(levels))
    quantiles = np.full((len(cutoffs), len(order), horizon, len(levels)), np.nan)
    quantiles[which, column] = values
    return Predictions(model, order, cutoffs, times, np.array(list(levels.values())), quantiles, notes)
