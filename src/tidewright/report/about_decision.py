"""The part of the page on the portfolio: what to hold, what it would have earned, and what that rests on."""

from __future__ import annotations

import math

from tidewright.metrics.returns import RETURN_METRICS
from tidewright.portfolio.risk.record import Risk
from tidewright.report.blocks import Block, Cell, Column, Facts, Link, Picture, Row, Section, Table, Words, absent
from tidewright.report.decision_sheet import read_decision_sheet, tell_hindsight
from tidewright.report.draw_portfolio import draw_drawdown, draw_equity, draw_weights
from tidewright.report.numbers import UNDEFINED, write_number, write_percent
from tidewright.report.sheet_margins import list_margins, table_margins, tell_margins
from tidewright.report.style import MOST_POINTS
from tidewright.workflows.result import Decision, RunResult, Strategy

_FIGURES = {
    "total_return": ("Total return", "over the test part"),
    "cagr": ("CAGR", "a year"),
    "volatility": ("Volatility", "a year"),
    "sharpe": ("Sharpe", "a year"),
    "sortino": ("Sortino", "a year"),
    "max_drawdown": ("Max drawdown", "of the peak before"),
    "calmar": ("Calmar", "CAGR / max drawdown"),
    "hit_rate": ("Hit rate", "share of bars"),
    "turnover": ("Turnover", "one-way, times a year"),
    "costs": ("Costs", "money over the test part"),
    "cost_drag": ("Cost drag", "a year"),
}
_PERCENT = {"cost_drag"} | {name for name, metric in RETURN_METRICS.items() if metric.unit.startswith("fraction")}


def tell_decision(result: RunResult, decision: Decision, *, sheet: str = "") -> Section:
    """Weights and their risk, net figures, margins over the floors, equity, drawdown, and whether a forecast moved the
    weights; `sheet` is the name of the tear sheet's page, where one was written."""
    margins, told = _margins(decision)
    lead = f"{decision.reason} {told}".strip()
    weights = Picture(
        "weights",
        draw_weights(decision.weights),
        f"Weights for the next bar by {decision.weights.method}; they sum to 100 %. The dashed line is equal weight.",
        "Bar chart of the weights by asset: " + _largest(decision),
        title="Allocation for the next bar",
    )
    since = "from the bar before each strategy's first fill, after costs"
    equity = Picture(
        "equity",
        draw_equity(decision.strategies),
        f"Equity {since}, on a log axis. Lines of more than {MOST_POINTS:,} points are drawn by the "
        "lowest and highest of each stretch.",
        "Line chart of each strategy's equity over the test part.",
        title="Equity",
    )
    drawdown = Picture(
        "drawdown",
        draw_drawdown(decision.strategies),
        f"Distance below the highest equity so far, {since}.",
        "Line chart of each strategy's drawdown over the test part.",
        title="Drawdown",
    )
    blocks: list[Block] = [_figures(decision), margins, *_link(sheet), _tell_risk(decision.risk)]
    blocks += [Row((weights, _side(result, decision))), equity, drawdown]
    return Section("decision", "The decision", lead, blocks)


def _margins(decision: Decision) -> tuple[Table | Words, str]:
    """How much better the strategy is than each floor, as a table and in a sentence."""
    sheet = read_decision_sheet(decision)
    table = None if sheet is None else table_margins(sheet)
    if sheet is None or table is None:
        return absent("Too few bars were traded to say by how much a strategy is better than its floors."), ""
    return list_margins(table, name=sheet.name), tell_margins(table, name=sheet.name)


def _link(sheet: str) -> list[Link]:
    told = "The tear sheet: drawdowns, months and years, value at risk day by day, who carried the risk, and luck"
    return [Link(sheet, f"{told}")] if sheet else []


def _tell_risk(risk: Risk | None) -> Facts | Words:
    """What these weights may lose at the next bar."""
    if risk is None or risk.portfolio is None:
        return absent("Too few bars have a return of every asset to say what the weights may lose at the next one.")
    book, past = risk.portfolio, f"the last {risk.bars:,} bars as they were, on the weights for the next one"
    often = f"is lost, or less, with a probability of {write_percent(risk.confidence, decimals=0)}"
    order = (-book.component_es).argsort()[:3]
    parts = ", ".join(f"{risk.assets[at]} {write_percent(book.component_es[at] / book.es, decimals=0)}" for at in order)
    return Facts(
        (
            ("Value at risk", Cell(write_percent(book.var, decimals=2), small=f"{often}; {past}")),
            (
                "Expected shortfall",
                Cell(write_percent(book.es, decimals=2), small="is lost on average where it is more"),
            ),
            ("Most of the shortfall", Cell(parts, small="parts of what is lost then; all of them sum to 100 %")),
        ),
        title="What the next bar may lose",
    )


def _side(result: RunResult, decision: Decision) -> Words:
    settings, frequency = result.settings.decide, result.panel.frequency
    calendar = f"the calendar {frequency.calendar}" if frequency.calendar else f"the grid {frequency.name}"
    lines = [
        f"Weights are decided every {settings.decide_every} bars from the {settings.lookback} bars before.",
        "A decision made after a bar's close is filled at the close of the next bar.",
        f"Each purchase and each sale costs {settings.fee_bps:g} bps of its value as a fee and "
        f"{settings.half_spread_bps:g} bps as half of the spread.",
        f"Figures a year count {decision.periods_per_year:,.6g} bars a year, from {calendar}.",
        f"Each strategy starts with {decision.strategies[0].ledger.equity[0]:,.0f} in money.",
        "Cash earns nothing; the Sharpe ratio is against a rate of zero. Fractions of a unit can be "
        "held. No taxes, no market impact.",
        f"The deflated Sharpe ratio counts {decision.trials} trials: every model and option that was "
        "tried on these data, in this run or before.",
        *tell_hindsight(result),
        *decision.weights.notes,
        *dict.fromkeys(f"{s.name}: {note}" for s in decision.strategies for note in s.ledger.notes),
    ]
    return Words(tuple(lines), title="What this assumes")


def _figures(decision: Decision) -> Table:
    known = [name for name in _FIGURES if any(name in s.summary for s in decision.strategies)]
    columns = (
        Column("After costs"),
        Column("Unit"),
        *(Column(s.name, number=True) for s in decision.strategies),
    )
    rows = [
        (
            Cell(_FIGURES[name][0], tone="strong"),
            _unit(name),
            *(_figure(name, s) for s in decision.strategies),
        )
        for name in known
    ]
    rows.append(
        (
            Cell("Deflated Sharpe", tone="strong"),
            Cell("probability", tone="muted"),
            *(_deflated(s, decision.periods_per_year) for s in decision.strategies),
        )
    )
    used = "A forecast moved the weights." if decision.used_forecast else "No forecast moved the weights."
    caption = (
        f"Backtest over the test part. {used} The deflated Sharpe ratio is the probability that the true ratio is "
        f"above what the best of {decision.trials} strategies without skill would show."
    )
    return Table(columns, tuple(rows), caption=caption, sortable=False)


def _unit(name: str) -> Cell:
    return Cell(_FIGURES[name][1], tone="muted")


def _figure(name: str, strategy: Strategy) -> Cell:
    value = strategy.summary.get(name, math.nan)
    if math.isnan(value):
        return Cell(UNDEFINED, tone="muted")
    if name in _PERCENT:
        return Cell(write_percent(value, decimals=2), value=value)
    return Cell(write_number(value, decimals=0 if name == "costs" else 2), value=value)


def _deflated(strategy: Strategy, per_year: float) -> Cell:
    if strategy.deflated is None or math.isnan(strategy.deflated.probability):
        return Cell(UNDEFINED, small="the returns don't vary", tone="muted")
    luck = write_number(strategy.deflated.hurdle * math.sqrt(per_year), decimals=2)
    return Cell(
        write_percent(strategy.deflated.probability),
        value=strategy.deflated.probability,
        small=f"luck alone: Sharpe {luck}",
    )


def _largest(decision: Decision) -> str:
    ranked = sorted(decision.weights.as_dict().items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{name} {write_percent(value)}" for name, value in ranked) + "."
