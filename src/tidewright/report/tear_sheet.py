"""`write_tear_sheet`: what a strategy earned, risked, held and paid, beside its floors, as one page to print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from tidewright.metrics.selection import Overfitting
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.ledger import Ledger
from tidewright.portfolio.risk.record import RiskMethod
from tidewright.report import sheet_risk, sheet_tables
from tidewright.report.about_luck import Luck, find_luck, tell_luck, write_luck
from tidewright.report.about_sheet import (
    tell_figures,
    tell_growth,
    tell_holdings,
    tell_risk,
    tell_time,
    tell_trading,
    write_figure,
)
from tidewright.report.blocks import Section, Tile, Words
from tidewright.report.numbers import write_number, write_percent, write_probability
from tidewright.report.page import Page, write_page
from tidewright.report.sheet import Sheet, read_sheet
from tidewright.report.sheet_data import write_tables
from tidewright.report.sheet_margins import table_margins, tell_margins
from tidewright.tuning.account import Account
from tidewright.tuning.study import Study
from tidewright.tuning.tried import Tried


def write_tear_sheet(
    path: str | Path,
    *,
    ledger: Ledger | Mapping[str, Ledger],
    periods_per_year: float,
    benchmark: ArrayLike | None = None,
    benchmark_name: str = "benchmark",
    groups: Mapping[str, str] | None = None,
    costs: Costs | None = None,
    risk_free: float = 0.0,
    window: int | None = None,
    var_method: RiskMethod = "historical",
    trials: float | None = None,
    study: Study | Tried | Account | None = None,
    trial_variance: float | None = None,
    overfitting: Overfitting | None = None,
    assumptions: Sequence[str] = (),
    data: bool = True,
) -> Path:
    """Writes the tear sheet of a backtest as one HTML file and gives back its path.

    `ledger` is the strategy's, or a mapping of names whose first is the strategy and whose others are its floors, all
    over the same bars. `benchmark` [T] are levels (prices, an index) at the ledger's bars, `groups` name the sector of
    an asset. `periods_per_year` comes from the calendar (a Frequency knows it) and `risk_free` is a return a bar.
    `window` is the bars of what is rolled, a year by default; `var_method` is one of `tw.rolling_var`.

    How much of the Sharpe ratio may be luck depends on what else was tried: `trials`, a number, or `study`, whose
    trials are listed too; `trial_variance` is that of their Sharpe ratios a bar. `overfitting` is `tw.pbo`'s answer.
    `costs` and `assumptions` are told in words. With `data` the folder NAME_data beside the page holds every picture's
    table as Parquet and JSON. The page loads nothing, and prints on paper as it stands.
    """
    page_path = Path(path)
    sheet = read_sheet(
        ledger,
        benchmark=benchmark,
        benchmark_name=benchmark_name,
        groups=groups,
        periods_per_year=periods_per_year,
        risk_free=risk_free,
        window=window,
        var_method=var_method,
    )
    luck = find_luck(sheet, trials=trials, study=study, trial_variance=trial_variance, overfitting=overfitting)
    tables = collect_tables(sheet)
    if data:
        write_tables(tables, facts=_facts(sheet, luck), folder=page_path.with_name(f"{page_path.stem}_data"))
    told = (*_assume(sheet, costs), *assumptions)
    return write_page(collect_sheet(sheet, luck=luck, tables=tables, assumptions=told), page_path)


def collect_tables(sheet: Sheet) -> dict[str, pl.DataFrame]:
    """The tables of all pictures, by name."""
    tables = {
        "figures": _list_figures(sheet),
        "equity": sheet_tables.table_wealth(sheet),
        "drawdown": sheet_tables.table_falls(sheet),
        "deepest drawdowns": sheet_tables.table_deepest(sheet),
        "rolling sharpe": sheet_risk.table_rolling(sheet),
        "months": sheet_tables.table_months(sheet),
        "years": sheet_tables.table_years(sheet),
        "weights": sheet_tables.table_weights(sheet),
        "exposures": sheet_tables.table_exposures(sheet),
        "costs": sheet_tables.table_costs(sheet),
        "paid": sheet_tables.table_paid(sheet),
        "value at risk": sheet_risk.table_var(sheet),
        "contributions": sheet_risk.table_contributions(sheet),
    }
    optional = {"rolling beta": sheet_risk.table_beta(sheet), "margins": table_margins(sheet)}
    return tables | {name: table for name, table in optional.items() if table is not None}


def collect_sheet(sheet: Sheet, *, luck: Luck, tables: Mapping[str, pl.DataFrame], assumptions: Sequence[str]) -> Page:
    """All that the page says."""
    first, last = (str(sheet.opened[row].astype("datetime64[D]")) for row in (0, -1))
    growth = sheet.summaries[sheet.name]["cagr"]
    sections: tuple[Section, ...] = (
        tell_figures(sheet),
        tell_growth(sheet, tables),
        tell_time(sheet, tables),
        tell_holdings(sheet, tables),
        tell_trading(sheet, tables),
        tell_risk(sheet, tables),
        tell_luck(sheet, luck, margins=tables.get("margins")),
        Section(
            "assumptions", "What this assumes", "What the numbers rest on, and what they leave out.",
            (Words(tuple(assumptions)),),
        ),
    )  # fmt: skip
    return Page(
        title=f"Tear sheet of {sheet.name}",
        eyebrow=f"tear sheet · {first} to {last}",
        headline=f"{sheet.name}: {write_percent(growth)} a year after costs",
        reason=_reason(sheet),
        subject=f"{sheet.times.size:,} bars, {len(sheet.ledger.assets):,} assets. {sections[-2].lead} "
        f"{tell_margins(tables.get('margins'))}",
        tiles=_tiles(sheet, luck),
        sections=sections,
    )


def _reason(sheet: Sheet) -> str:
    """The strategy beside all that it is held against, in a sentence."""
    found = sheet.summaries
    others = [name for name in found if name != sheet.name]
    ours = found[sheet.name]
    told = f"Sharpe {write_number(ours['sharpe'], decimals=2)}, deepest drawdown {write_percent(ours['max_drawdown'])}."
    beside = "; ".join(
        f"{name} {write_percent(found[name]['cagr'])} a year, Sharpe {write_number(found[name]['sharpe'], decimals=2)}"
        for name in others
    )
    return f"{told} Beside it: {beside}." if beside else told


def _tiles(sheet: Sheet, luck: Luck) -> tuple[Tile, ...]:
    ours = sheet.summaries[sheet.name]
    chosen = [
        ("cagr", "CAGR"),
        ("volatility", "Volatility"),
        ("sharpe", "Sharpe"),
        ("max_drawdown", "Deepest drawdown"),
    ]
    if sheet.benchmark is not None:
        chosen.append(("beta", f"Beta to {sheet.benchmark}"))
    tiles = [
        Tile(
            title,
            write_figure(name, ours[name]),
            f"{write_figure(name, ours.intervals[name].low)} to {write_figure(name, ours.intervals[name].high)}",
        )
        for name, title in chosen
    ]
    if luck.deflated is None:
        return (*tiles, Tile("Deflated Sharpe", "not known", "the number of trials is not given"))
    of = f"of {luck.deflated.trials:g} trials"
    return (*tiles, Tile("Deflated Sharpe", write_probability(luck.deflated.probability), of))


def _assume(sheet: Sheet, costs: Costs | None) -> list[str]:
    """Fills, costs, calendar, cash, and what is left out, in words."""
    ledger = sheet.ledger
    lines = [
        "A decision is made after the close of a bar and filled at a later bar, never at the one that made it; weights "
        "drift between fills.",
        _tell_costs(costs),
        f"Figures a year count {sheet.periods_per_year:,.6g} bars a year; ratios are against a riskless return of "
        f"{write_percent(sheet.risk_free, decimals=4) if sheet.risk_free else 'zero'}.",
        *_tell_flows(ledger, risk_free=sheet.risk_free),
        *([] if sheet.benchmark is None else [f"{sheet.benchmark}, the benchmark, pays no costs."]),
        f"Value at risk is {sheet.var_method.replace('_', ' ')} at {write_percent(sheet_risk.VAR_LEVEL, decimals=0)}, "
        f"from the {sheet_risk.var_window(sheet)} bars before each, and knows nothing of the bar itself.",
        "Left out: taxes, and what the prices do not show (of names that were delisted or never in the table, the "
        "backtest knows only what its table knows).",
    ]
    if costs is None or not costs.needs_volume:
        lines.append("No market impact was counted: the equity is taken to be small beside what is traded.")
    return [*lines, *sheet.notes, *_ledger_notes(sheet)]


def _tell_costs(costs: Costs | None) -> str:
    if costs is None:
        return "What a trade costs is in the ledger; its rates were not told to this page."
    told = f"Each purchase and sale costs {costs.fee_bps:g} bps of its value as a fee and "
    told += f"{costs.half_spread_bps:g} bps as half of the spread"
    if costs.impact > 0.0:
        told += f", and {costs.impact:g} times volatility times the root of its share of the bar's volume as impact"
    if costs.max_participation is not None:
        told += f"; at most {costs.max_participation:.0%} of a bar's volume is filled"
    if costs.borrow_bps > 0.0:
        told += f"; a short position pays {costs.borrow_bps:g} bps a year"
    return f"{told}."


def _tell_flows(ledger: Ledger, *, risk_free: float) -> list[str]:
    """What cash, dividends and orders that were not filled came to, in the prices' money."""
    interest, dividends, unfilled = (
        float(part.sum()) for part in (ledger.interest, ledger.dividends, np.abs(ledger.unfilled))
    )
    lines = ["Cash earns nothing." if interest == 0.0 else f"Cash earned {interest:,.0f} in all."]
    if interest > 0.0 and risk_free == 0.0:
        lines.append("The Sharpe ratio counts what cash earned as the strategy's gain: risk_free= would take it out.")
    if dividends == 0.0:
        lines.append("No dividend was booked: prices that are not adjusted for dividends leave them out.")
    else:
        lines.append(f"Dividends of {dividends:,.0f} in all were booked as cash.")
    if unfilled > 0.0:
        lines.append(f"Orders worth {unfilled:,.0f} in all were not filled.")
    return lines


def _ledger_notes(sheet: Sheet) -> list[str]:
    notes = [f"{name}: {note}" for name, ledger in sheet.ledgers.items() for note in ledger.notes]
    return list(dict.fromkeys(notes))


def _list_figures(sheet: Sheet) -> pl.DataFrame:
    """Every figure of each, with the strategy's interval."""
    rows = []
    for name, summary in sheet.summaries.items():
        for figure, value in summary.values.items():
            found = summary.intervals.get(figure)
            low, high = (math.nan, math.nan) if found is None else (found.low, found.high)
            rows.append({"strategy": name, "figure": figure, "value": value, "low": low, "high": high})
    return pl.DataFrame(rows)


def _facts(sheet: Sheet, luck: Luck) -> dict[str, Any]:
    return {
        "strategy": sheet.name,
        "floors": list(sheet.floors),
        "benchmark": sheet.benchmark,
        "periods_per_year": sheet.periods_per_year,
        "risk_free": sheet.risk_free,
        "window": sheet.window,
        "luck": write_luck(luck),
    }
