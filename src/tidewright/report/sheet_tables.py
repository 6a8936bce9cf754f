"""The data behind a tear sheet's pictures: one table each, which is also written beside the page.

T returns of bars, A assets. A time column holds the bars; every other column is a line, a bar or an area.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidewright.metrics.returns import Drawdown, list_drawdowns
from tidewright.portfolio.inputs import FloatArray, TimeArray
from tidewright.report.sheet import Sheet

TIME = "time"
Places = NDArray[np.intp]
DEEPEST = 5
_TAKEN = {TIME, "year", "bars", "volatility", "max drawdown", "turnover", "costs"}
KINDS = ("fees", "half spread", "market impact", "borrowing")


def table_wealth(sheet: Sheet) -> pl.DataFrame:
    """The growth of one unit, a column each, the bar before the first return included."""
    return over_time(sheet.opened, {name: sheet.wealth(name) for name in sheet.returns})


def table_falls(sheet: Sheet) -> pl.DataFrame:
    """How far each lies below its peak so far, as a fraction of at most 0."""
    return over_time(sheet.opened, {name: _below(sheet.wealth(name)) for name in sheet.returns})


def table_deepest(sheet: Sheet) -> pl.DataFrame:
    """The strategy's five deepest drawdowns: dates, depth, and lengths in bars; null where one is not over."""
    found = sorted(list_drawdowns(sheet.ours), key=lambda one: -one.depth)[:DEEPEST]
    opened = sheet.opened
    return pl.DataFrame(
        {
            "depth": [one.depth for one in found],
            "peak": _at(opened, [one.peak for one in found]),
            "trough": _at(opened, [one.trough for one in found]),
            "recovered": _at(opened, [one.recovered for one in found]),
            "length": [one.length for one in found],
            "recovery": [one.recovery for one in found],
            "benchmark": [_meanwhile(sheet, one) for one in found],
        },
        schema_overrides={"depth": pl.Float64, "length": pl.Int64, "recovery": pl.Int64, "benchmark": pl.Float64},
    )


def table_months(sheet: Sheet) -> pl.DataFrame:
    """The strategy's return of each calendar month; the first and the last may be parts of one."""
    months, place = np.unique(sheet.times.astype("datetime64[M]"), return_inverse=True)
    return pl.DataFrame(
        {
            "year": (months.astype("datetime64[Y]").astype(np.int64) + 1970).tolist(),
            "month": (months.astype(np.int64) % 12 + 1).tolist(),
            "return": _compound(sheet.ours, place, count=months.size),
        }
    )


def table_years(sheet: Sheet) -> pl.DataFrame:
    """The return of each calendar year of each, and the strategy's volatility, deepest fall, turnover and costs in it.

    Volatility is a year's, turnover one-way and times a year's equity, costs a share of mean equity.
    """
    years, place = np.unique(sheet.times.astype("datetime64[Y]"), return_inverse=True)
    bars = np.bincount(place, minlength=years.size)
    table = pl.DataFrame({"year": (years.astype(np.int64) + 1970).tolist(), "bars": bars.tolist()})
    columns: dict[str, FloatArray] = {
        _safe(name): _compound(returns, place, count=years.size) for name, returns in sheet.returns.items()
    }
    parts = [np.flatnonzero(place == one) for one in range(years.size)]
    spread = [float(sheet.ours[part].std(ddof=1)) if part.size > 1 else float("nan") for part in parts]
    columns["volatility"] = np.array(spread) * np.sqrt(sheet.periods_per_year)
    columns["max drawdown"] = np.array([_deepest(sheet.ours[part]) for part in parts])
    columns["turnover"] = _add(_traded(sheet), place, count=years.size)
    mean = _add(sheet.ledger.equity[sheet.first :], place, count=years.size) / bars
    paid = sum(_costs(sheet).values(), np.zeros(place.size))
    columns["costs"] = _add(paid, place, count=years.size) / mean
    return table.with_columns(pl.Series(name, values) for name, values in columns.items())


def table_weights(sheet: Sheet) -> pl.DataFrame:
    """The strategy's weights after each bar, and cash, as shares of equity."""
    columns = {asset: sheet.weights[:, k] for k, asset in enumerate(sheet.ledger.assets)}
    return over_time(sheet.opened, columns | {"cash (rest)": 1.0 - sheet.weights.sum(axis=1)})


def table_exposures(sheet: Sheet) -> pl.DataFrame:
    """The sum of the weights of each group and of the cash; without groups, long, short, gross and net."""
    weights = sheet.weights
    if not sheet.groups:
        longs, shorts = np.maximum(weights, 0.0).sum(axis=1), np.minimum(weights, 0.0).sum(axis=1)
        return over_time(sheet.opened, {"long": longs, "short": shorts, "gross": longs - shorts, "net": longs + shorts})
    names = sorted(set(sheet.groups.values()))
    belongs = np.array([[sheet.groups[asset] == name for name in names] for asset in sheet.ledger.assets], dtype=float)
    held = weights @ belongs
    columns = {name: held[:, k] for k, name in enumerate(names)}
    return over_time(sheet.opened, columns | {"cash (rest)": 1.0 - weights.sum(axis=1)})


def table_costs(sheet: Sheet) -> pl.DataFrame:
    """What each calendar year cost by kind, as shares of the year's mean equity, with the turnover."""
    years, place = np.unique(sheet.times.astype("datetime64[Y]"), return_inverse=True)
    bars = np.bincount(place, minlength=years.size)
    mean = _add(sheet.ledger.equity[sheet.first :], place, count=years.size) / bars
    columns = {kind: _add(paid, place, count=years.size) / mean for kind, paid in _costs(sheet).items()}
    columns["turnover"] = _add(_traded(sheet), place, count=years.size)
    return pl.DataFrame({"year": (years.astype(np.int64) + 1970).tolist()} | columns)


def table_paid(sheet: Sheet) -> pl.DataFrame:
    """What each strategy paid by kind over all bars, in money and a year over mean equity."""
    rows = []
    for name, ledger in sheet.ledgers.items():
        years = sheet.times.size / sheet.periods_per_year
        mean = float(ledger.equity[sheet.first :].mean())
        for kind, paid in _costs(sheet, name).items():
            rows.append(
                {"strategy": name, "kind": kind, "paid": float(paid.sum()), "a year": paid.sum() / mean / years}
            )
    return pl.DataFrame(rows)


def _costs(sheet: Sheet, name: str | None = None) -> dict[str, FloatArray]:
    """Money paid at each bar of the returns [T], by kind."""
    ledger = sheet.ledgers[name or sheet.name]
    bars = slice(sheet.first, None)
    parts = {kind: getattr(ledger, kind)[bars] for kind in ("spread", "impact", "borrow")}
    fees = np.maximum(ledger.costs[bars] - parts["spread"] - parts["impact"], 0.0)
    return dict(zip(KINDS, (fees, parts["spread"], parts["impact"], parts["borrow"]), strict=True))


def _traded(sheet: Sheet) -> FloatArray:
    """One-way turnover at each bar [T]; the entry is none."""
    traded = sheet.ledger.turnover[sheet.first :].copy()
    if sheet.ledger.first_fill == sheet.first:
        traded[0] = 0.0
    return traded


def over_time(times: TimeArray, columns: dict[str, FloatArray]) -> pl.DataFrame:
    """A column each over the bars."""
    stamps = pl.Series(TIME, times.astype("datetime64[us]"))
    return pl.DataFrame([stamps, *(pl.Series(_safe(name), values) for name, values in columns.items())])


def _safe(name: str) -> str:
    """A column's name; an asset that is called "time" does not hide the times."""
    return f"{name} " if name in _TAKEN else name


def _below(wealth: FloatArray) -> FloatArray:
    return wealth / np.maximum.accumulate(wealth) - 1.0


def _deepest(returns: FloatArray) -> float:
    return -float(_below(np.concatenate(([1.0], np.cumprod(1.0 + returns)))).min())


def _compound(returns: FloatArray, place: Places, *, count: int) -> FloatArray:
    starts = np.searchsorted(place, np.arange(count))
    return np.asarray(np.multiply.reduceat(1.0 + returns, starts) - 1.0)


def _add(values: FloatArray, place: Places, *, count: int) -> FloatArray:
    return np.bincount(place, weights=values, minlength=count).astype(np.float64)


def _meanwhile(sheet: Sheet, one: Drawdown) -> float | None:
    """What the benchmark returned from the peak to the trough."""
    if sheet.theirs is None:
        return None
    return float(np.prod(1.0 + sheet.theirs[one.peak : one.trough]) - 1.0)


def _at(times: TimeArray, rows: list[int | None] | list[int]) -> pl.Series:
    found = [None if row is None else times[row].astype("datetime64[us]").item() for row in rows]
    return pl.Series(found, dtype=pl.Datetime("us"))
