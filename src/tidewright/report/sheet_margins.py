"""How much better a strategy is than what it is held against, with the error of that.

T returns of bars, S strategies, B resamples.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from tidewright.metrics.returns import sharpe
from tidewright.portfolio.inference.resample import choose_mean_block, resample_means
from tidewright.portfolio.inputs import FloatArray
from tidewright.report.blocks import Cell, Column, Table
from tidewright.report.numbers import write_number, write_percent
from tidewright.report.sheet import CONFIDENCE, Sheet

DRAWS = 1000
APART = "not told apart"


def table_margins(sheet: Sheet) -> pl.DataFrame | None:
    """The strategy's mean return and Sharpe ratio, a year, less those of each floor and of the benchmark, with
    intervals; None where there is nothing beside it.

    Percentiles over stationary bootstrap resamples of all returns together, so that what moves both counts for neither.
    """
    others = [name for name in sheet.returns if name != sheet.name]
    if not others:
        return None
    excess = np.column_stack([sheet.returns[name] - sheet.risk_free for name in (sheet.name, *others)])
    apart = excess[:, :1] - excess[:, 1:]
    block = choose_mean_block(None, values=np.column_stack([apart, apart**2]))
    generator = np.random.default_rng(0)
    drawn = resample_means(np.column_stack([excess, excess**2]), block=block, draws=DRAWS, generator=generator)
    means, ratios = drawn[:, : len(others) + 1], _ratios(drawn)
    rows = []
    for place, name in enumerate(others, start=1):
        more = sheet.periods_per_year * (means[:, 0] - means[:, place])
        better = math.sqrt(sheet.periods_per_year) * (ratios[:, 0] - ratios[:, place])
        rows.append(
            {
                "against": name,
                "return": float(apart[:, place - 1].mean()) * sheet.periods_per_year,
                **_bounds("return", more),
                "sharpe": _sharpe(sheet, sheet.name) - _sharpe(sheet, name),
                **_bounds("sharpe", better),
            }
        )
    return pl.DataFrame(rows)


def list_margins(table: pl.DataFrame, *, name: str) -> Table:
    """The margins as a table of the page."""
    level = write_percent(CONFIDENCE, decimals=0)
    columns = (
        Column(f"{name} less"), Column("Return", "a year", number=True), Column("Interval", level, number=True),
        Column("Sharpe", "a year", number=True), Column("Interval", level, number=True), Column("Its Sharpe ratio is"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(row["against"], tone="strong"),
            Cell(write_percent(row["return"], decimals=2, signed=True)),
            Cell(f"{write_percent(row['return low'])} to {write_percent(row['return high'])}", tone="muted"),
            Cell(write_number(row["sharpe"], decimals=2)),
            Cell(f"{_short(row['sharpe low'])} to {_short(row['sharpe high'])}", tone="muted"),
            Cell(judge(row), tone="bad" if judge(row) == "worse" else ""),
        )
        for row in table.iter_rows(named=True)
    )
    caption = (
        f"Over the same bars, after costs. Intervals: {DRAWS:,} stationary bootstrap resamples of all returns together."
    )
    return Table(columns, rows, caption=caption, sortable=False)


def tell_margins(table: pl.DataFrame | None, *, name: str = "") -> str:
    """What the Sharpe ratio (of `name`) is beside each, in a sentence; nothing where there is nothing beside it."""
    if table is None:
        return ""
    found = [(judge(row), row["against"]) for row in table.iter_rows(named=True)]
    said = ", ".join(f"{word} {'from' if word == APART else 'than'} that of {name}" for word, name in found)
    whose = f"The Sharpe ratio of {name}" if name else "Its Sharpe ratio"
    return f"{whose} is {said} at {write_percent(CONFIDENCE, decimals=0)}."


def judge(row: dict[str, float]) -> str:
    """Whether the Sharpe ratio is better or worse, or can't be told apart."""
    if row["sharpe low"] > 0.0:
        return "better"
    return "worse" if row["sharpe high"] < 0.0 else APART


def _ratios(drawn: FloatArray) -> FloatArray:
    """Sharpe ratios a bar [B, S] from the means of returns and of their squares [B, 2 S]; nan without variation."""
    means, squares = np.split(drawn, 2, axis=1)
    spread = np.sqrt(np.maximum(squares - means**2, 0.0))
    return np.asarray(np.divide(means, spread, out=np.full_like(means, np.nan), where=spread > 1e-9))


def _bounds(name: str, values: FloatArray) -> dict[str, float]:
    low, high = np.nanquantile(values, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return {f"{name} low": float(low), f"{name} high": float(high)}


def _sharpe(sheet: Sheet, name: str) -> float:
    return sharpe(sheet.returns[name], periods_per_year=sheet.periods_per_year, risk_free=sheet.risk_free)


def _short(value: float) -> str:
    return write_number(value, decimals=2)
