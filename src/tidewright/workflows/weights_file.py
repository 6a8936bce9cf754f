"""Weights at one moment, from a file and into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.border import to_polars
from tidewright.data.dated import TIMES, WEIGHTS, Dated, read_dated
from tidewright.errors import AllocationError, ColumnError, DataError
from tidewright.portfolio.weights import Weights

FORMS = ("csv", "json", "parquet")
_ROUNDED = 1e-3  # above its limit a sum of written digits may be by so much


def read_weights(path: str | Path, prices: Dated, *, max_gross: float = 1.0, allow_short: bool = False) -> Weights:
    """The weights in a file for the assets of prices: a row an asset, or with dates, of which the newest counts.

    An asset that the file does not name has none; what is missing to one is cash. Weights that sum to more than
    `max_gross`, long plus short, are an AllocationError, but for rounding, which is divided out with a note.
    """
    table, _ = to_polars(path)
    named, notes = _read_newest(table) if _is_dated(table) else (_read_plain(table), ())
    unknown = [name for name, weight in named.items() if name not in prices.names and weight]
    if unknown:
        raise AllocationError(f"'{path}': " + explain_unknown("asset of the prices", unknown[0], prices.names))
    values = np.array([named.get(name, 0.0) for name in prices.names])
    if not allow_short and (values < 0.0).any():
        name = prices.names[int(np.argmin(values))]
        raise AllocationError(f"'{path}': the weight of {name!r} is {values.min():g}. Say --short if that is meant.")
    gross = float(np.abs(values).sum())
    if gross > max_gross + _ROUNDED:
        raise AllocationError(f"'{path}': {_explain_gross(gross, most=max_gross)}")
    if gross > max_gross + 1e-9:
        values, notes = values * max_gross / gross, (*notes, f"weights of {gross:.6g} in all are divided by their sum")
    net = 1.0 if abs(values.sum() - 1.0) <= 1e-9 else float(values.sum())
    if net < 1.0:
        notes = (*notes, f"the weights in {Path(path).name} sum to {net:.2%}: the rest is cash")
    return Weights(assets=prices.names, values=values, method=Path(path).name, notes=notes, net=net)


def write_weights(table: pl.DataFrame, path: Path) -> None:
    """The table of weights (date, asset, weight) in the form that the file's ending says. Raises `DataError`."""
    check_output(path)
    try:
        getattr(table, f"write_{path.suffix.removeprefix('.')}")(path)
    except OSError as error:
        why = error.strerror or str(error).partition(" (os error")[0]
        raise DataError(f"'{path}' can't be written: {why}. Name a folder that is there and may be written.") from error


def tabulate_weights(weights: Weights, *, time: np.datetime64) -> pl.DataFrame:
    """Weights as a table that `tidewright backtest` and `risk` read: date, asset, weight, the largest first."""
    order = np.argsort(-weights.values, kind="stable")
    columns: dict[str, Any] = {
        "date": np.full(len(order), time, dtype="datetime64[us]"),
        "asset": [weights.assets[place] for place in order],
        "weight": weights.values[order],
    }
    return shorten_dates(pl.DataFrame(columns))


def shorten_dates(table: pl.DataFrame) -> pl.DataFrame:
    """The column "date" as dates where no time of a day is told."""
    whole = bool((table["date"].dt.truncate("1d") == table["date"]).all())
    return table.with_columns(pl.col("date").cast(pl.Date)) if whole else table


def check_output(path: Path | None) -> None:
    """Refuses a file whose ending says nothing, before anything is computed."""
    if path is not None and path.suffix.removeprefix(".") not in FORMS:
        raise DataError(f"'{path}' has an ending that says nothing about its form. Use .{', .'.join(FORMS)}.")


def _is_dated(table: pl.DataFrame) -> bool:
    dated = (isinstance(kind, pl.Date | pl.Datetime) for kind in table.dtypes)
    return any(dated) or any(name.casefold() in TIMES for name in table.columns)


def _read_newest(table: pl.DataFrame) -> tuple[dict[str, float], tuple[str, ...]]:
    dated = read_dated(table, usual=WEIGHTS)
    last = np.where(np.isnan(dated.values[-1]), 0.0, dated.values[-1])
    told = str(dated.times[-1].astype("datetime64[s]")).removesuffix("T00:00:00")
    notes = (f"of {len(dated.times)} dates of weights the newest is taken, {told}",) if len(dated.times) > 1 else ()
    return dict(zip(dated.names, last.tolist(), strict=True)), notes


def _read_plain(table: pl.DataFrame) -> dict[str, float]:
    """A row an asset: one column of text and one of numbers."""
    text = [name for name in table.columns if table[name].dtype == pl.String]
    numbers = [name for name in table.columns if table[name].dtype.is_numeric()]
    named = [name for name in numbers if name.casefold() in WEIGHTS] or numbers
    if len(text) != 1 or len(named) != 1:
        raise ColumnError(
            f"weights are a column of assets and one of weights, or have dates; the table has: "
            f"{', '.join(table.columns[:20])}."
        )
    names, values = table[text[0]].to_list(), table[named[0]].cast(pl.Float64).to_list()
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{doubled!r} has more than one weight. Keep one row an asset.")
    empty = [name for name, value in zip(names, values, strict=True) if value is None or not np.isfinite(value)]
    if empty:
        raise DataError(f"the weight of {empty[0]!r} is missing. Give a number, 0 for what is not held.")
    return dict(zip(names, values, strict=True))


def _explain_gross(gross: float, *, most: float) -> str:
    said = f"the weights sum to {gross:.6g}, long plus short"
    if gross > 20.0 * most:
        return f"{said}: these look like percents. Divide them by 100."
    return (
        f"{said}, and {most:g} is the most. Divide them by their sum, or say --max-gross {gross:.3g} if that is meant."
    )
