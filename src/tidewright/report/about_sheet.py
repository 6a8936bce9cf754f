"""What a tear sheet says: its figures, growth and falls, over time, what was held and traded, and the risk."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from tidewright.metrics.returns import RETURN_METRICS
from tidewright.portfolio.risk.backtests import VarTest
from tidewright.portfolio.risk.coverage import TestResult
from tidewright.report.blocks import Block, Cell, Column, Facts, Picture, Row, Section, Table, absent
from tidewright.report.draw_sheet import (
    choose_looks,
    draw_areas,
    draw_contributions,
    draw_costs,
    draw_growth,
    draw_lines,
    draw_months,
    draw_turnover,
    draw_var,
)
from tidewright.report.numbers import UNDEFINED, write_count, write_number, write_p_value, write_percent
from tidewright.report.sheet import CONFIDENCE, Sheet
from tidewright.report.sheet_risk import VAR_LEVEL, judge_var, var_window
from tidewright.report.sheet_tables import KINDS

Tables = Mapping[str, pl.DataFrame]
NAMES = {
    "cagr": "CAGR", "omega": "Omega", "max_drawdown": "Deepest drawdown", "drawdown_length": "Longest drawdown",
    "drawdown_recovery": "Recovery of the deepest", "value_at_risk": "Value at risk, 95 %",
    "expected_shortfall": "Expected shortfall, 95 %",
}  # fmt: skip
_UNITS = {"fraction": "", "fraction a year": "a year", "ratio": "ratio", "periods": "bars", "times a year": "a year"}
_PERIODS = {"total_return": "in all", "hit_rate": "of bars", "value_at_risk": "a bar", "expected_shortfall": "a bar"}
SIGNIFICANT = 0.05  # p-values below it are told as a failure
MOST_RISK = 25  # assets of the picture of contributions


def tell_figures(sheet: Sheet) -> Section:
    """Every figure of the strategy with its interval, beside the floors and the benchmark."""
    found = sheet.summaries
    ours = found[sheet.name]
    columns = (
        Column("After costs"),
        Column("Unit"),
        Column(sheet.name, number=True),
        Column("Interval", write_percent(CONFIDENCE, decimals=0), number=True),
        *(Column(name, number=True) for name in found if name != sheet.name),
    )
    rows = tuple(
        (
            Cell(name_figure(name), tone="strong"),
            Cell(_PERIODS.get(name, _UNITS[RETURN_METRICS[name].unit]), tone="muted"),
            _figure(name, ours[name]),
            _interval(sheet, name),
            *(_figure(name, found[other].values.get(name, math.nan)) for other in found if other != sheet.name),
        )
        for name in ours.values
        if name not in ("alpha_error", "beta_error")  # the intervals say it
    )
    caption = (
        f"{ours.notes[-1]} Of drawdowns an interval says what other histories of the same length show. "
        "Each figure's formula and source stand in tw.RETURN_METRICS."
    )
    return Section("figures", "The figures", _lead(sheet), (Table(columns, rows, caption=caption, sortable=False),))


def tell_growth(sheet: Sheet, tables: Tables) -> Section:
    """Wealth, falls and the deepest of them."""
    looks = choose_looks(list(sheet.returns), benchmark=sheet.benchmark)
    wealth = Picture(
        "equity", draw_growth(tables["equity"], looks=looks),
        "Growth of one unit after costs, from the bar before the first trade, on a log axis.",
        "Line chart of the wealth of the strategy, its floors and the benchmark.", title="Equity",
    )  # fmt: skip
    falls = Picture(
        "drawdown", draw_lines(tables["drawdown"], looks=looks, y="below the peak, %", scale=100.0, height=230),
        "Distance below the highest wealth so far.", "Line chart of the drawdowns.", title="Drawdown",
    )  # fmt: skip
    lead = "What one unit became, and how far below its peak it stood on the way."
    return Section(
        "growth", "Growth and drawdowns", lead, (wealth, falls, _list_deepest(sheet, tables["deepest drawdowns"]))
    )


def tell_time(sheet: Sheet, tables: Tables) -> Section:
    """How the figures moved: rolled, by month and by year."""
    looks = choose_looks(list(sheet.returns), benchmark=sheet.benchmark)
    over = f"over the {sheet.window} bars up to each"
    blocks: list[Block] = [
        Picture(
            "rolling-sharpe", draw_lines(tables["rolling sharpe"], looks=looks, y="Sharpe, a year", level=0.0),
            f"Sharpe ratio {over}.", "Line chart of the rolling Sharpe ratio.", title="Rolling Sharpe ratio",
        )
    ]  # fmt: skip
    if "rolling beta" in tables:
        blocks.append(
            Picture(
                "rolling-beta", draw_lines(tables["rolling beta"], looks=looks, y="beta", height=220, level=1.0),
                f"Slope on {sheet.benchmark} {over}.", "Line chart of the rolling beta.", title="Rolling beta",
            )
        )  # fmt: skip
    else:
        blocks.append(absent("No benchmark was given, so there is no beta.", title="Rolling beta"))
    months = Picture(
        "months", draw_months(tables["months"]),
        f"Return of {sheet.name} in each calendar month, in percent. The first and the last month may be part of one.",
        "Heat map of monthly returns.", title="Months",
    )  # fmt: skip
    lead = "A strategy that earned all in one stretch of time is another one than its average."
    return Section("time", "Over time", lead, (*blocks, months, _list_years(sheet, tables["years"])))


def tell_holdings(sheet: Sheet, tables: Tables) -> Section:
    """Weights, exposures and what each asset added."""
    weights = Picture(
        "weights", draw_areas(tables["weights"], y="share of equity, %"),
        "Weights after the close, the largest assets by mean size each; the rest together.",
        "Area chart of the weights over time.", title="Weights",
    )  # fmt: skip
    what = "sector" if sheet.groups else "side"
    told = "what is missing to 100 % is cash" if sheet.groups else "gross is long and short together, net their sum"
    exposures = Picture(
        "exposures", draw_areas(tables["exposures"], y="share of equity, %", parts=bool(sheet.groups)),
        f"Exposure by {what}; {told}.",
        f"{'Area' if sheet.groups else 'Line'} chart of the exposure by {what} over time.", title=f"Exposure by {what}",
    )  # fmt: skip
    blocks: list[Block] = [weights, exposures]
    if not sheet.groups:
        blocks.append(absent("No groups were given, so exposures are told by side and not by sector."))
    return Section("holdings", "What was held", _tell_last(sheet, tables["weights"]), blocks)


def tell_trading(sheet: Sheet, tables: Tables) -> Section:
    """Turnover and costs by year and kind."""
    costs = tables["costs"]
    turnover = Picture(
        "turnover", draw_turnover(costs), "One-way turnover of each year; the purchase from cash is left out.",
        "Bar chart of turnover by year.", title="Turnover",
    )  # fmt: skip
    paid = Picture(
        "costs", draw_costs(costs, kinds=KINDS), "What each year cost by kind.", "Bar chart of costs by year and kind.",
        title="Costs by kind",
    )  # fmt: skip
    held = [ledger.summary(periods_per_year=sheet.periods_per_year) for ledger in sheet.ledgers.values()]
    ours = tables["paid"].filter(pl.col("strategy") == sheet.name)["a year"].sum()  # borrowing too
    lead = (
        f"{sheet.name} traded {write_number(held[0]['turnover'], decimals=2)} times its equity a year, one way, and "
        f"paid {write_percent(float(ours), decimals=2)} of it a year."
    )
    return Section(
        "trading", "Turnover and costs", lead, (Row((turnover, paid)), _list_paid(sheet, tables["paid"], held))
    )


def tell_risk(sheet: Sheet, tables: Tables) -> Section:
    """Value at risk with its exceptions, and what each asset adds to the risk."""
    table = tables["value at risk"]
    window = var_window(sheet)
    picture = Picture(
        "value-at-risk", draw_var(table),
        f"Each return beside the {sheet.var_method.replace('_', ' ')} value at risk at "
        f"{write_percent(VAR_LEVEL, decimals=0)} from the {window} bars before it.",
        "Scatter chart of returns with the value at risk and its exceptions.", title="Value at risk and its exceptions",
    )  # fmt: skip
    facts = _tell_exceptions(sheet, judge_var(table))
    return Section(
        "risk", "Risk", "What was said of losses before they came, and where the risk lies.",
        (picture, facts, *_contributions(tables)),
    )  # fmt: skip


def name_figure(name: str) -> str:
    """A figure's name for people."""
    return NAMES.get(name, name.replace("_", " ").capitalize())


def _tell_exceptions(sheet: Sheet, found: VarTest) -> Facts:
    """How many losses were beyond the limit, and whether that is as it should be."""

    def judge(title: str, test: TestResult, right: str, wrong: str) -> tuple[str, Cell]:
        bad = test.p_value < SIGNIFICANT
        value = write_p_value(test.p_value)
        text = f"p {value}" if value.startswith("<") else f"p = {value}"
        return title, Cell(text, tone="bad" if bad else "", small=wrong if bad else right)

    count = Cell(f"{found.exceptions:,} of {found.bars:,} bars", small=f"{found.expected:.1f} expected")
    return Facts(
        (
            ("Losses beyond it", count),
            judge("Kupiec's test of the count", found.kupiec, "in keeping with the level", "not in keeping with it"),
            judge("Christoffersen's of clusters", found.independence, "no clusters are seen", "they come in clusters"),
            ("Traffic light", Cell(found.traffic_light.zone, small="of the count, by its binomial probability")),
            ("Worst return", Cell(write_percent(float(sheet.ours.min()), decimals=2), small="of one bar")),
        )
    )


def _contributions(tables: Tables) -> list[Block]:
    table = tables["contributions"]
    shown = table.sort("risk", descending=True).head(MOST_RISK)
    left = len(table) - len(shown)
    rest = f" The {left} with less are in the data." if left else ""
    return [
        Picture(
            "contributions", draw_contributions(shown),
            "Share of the variance of the net returns, and of their sum, that what each asset gained or lost brought. "
            f"An asset that hedges the others has less than none.{rest}",
            "Bar chart of each asset's share of risk and return.", title="Contribution to risk",
        )
    ]  # fmt: skip


def _lead(sheet: Sheet) -> str:
    against = [*sheet.floors, *([sheet.benchmark] if sheet.benchmark else [])]
    beside = f", beside {' and '.join(against)}" if against else ""
    return f"{write_count(sheet.times.size, 'net return')} of {sheet.name}{beside}."


def _interval(sheet: Sheet, name: str) -> Cell:
    found = sheet.summaries[sheet.name].intervals[name]
    if math.isnan(found.low):
        return Cell(UNDEFINED, tone="muted")
    return Cell(f"{write_figure(name, found.low)} to {write_figure(name, found.high)}", tone="muted")


def _figure(name: str, value: float) -> Cell:
    return Cell(write_figure(name, value), tone="muted" if math.isnan(value) else "")


def write_figure(name: str, value: float) -> str:
    """A figure in its unit."""
    unit = RETURN_METRICS[name].unit
    if unit.startswith("fraction"):
        return write_percent(value, decimals=2)
    return write_number(value, decimals=0 if unit == "periods" else 2)


def _list_deepest(sheet: Sheet, table: pl.DataFrame) -> Block:
    if table.is_empty():
        return absent("Wealth never fell below its peak.", title="The deepest drawdowns")
    beside = sheet.benchmark is not None
    columns = (
        Column("Depth", number=True), Column("Peak"), Column("Trough"), Column("Recovered"),
        Column("Length", "bars", number=True), Column("Trough to recovery", "bars", number=True),
        *([Column(str(sheet.benchmark), "peak to trough", number=True)] if beside else []),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(write_percent(row["depth"]), value=row["depth"], tone="strong"),
            *(Cell(_date(row[name]), tone="place") for name in ("peak", "trough")),
            Cell(_date(row["recovered"]), tone="place" if row["recovered"] else "bad"),
            Cell(f"{row['length']:,}", value=row["length"]),
            Cell("" if row["recovery"] is None else f"{row['recovery']:,}", value=row["recovery"]),
            *([Cell(write_percent(row["benchmark"], signed=True), value=row["benchmark"])] if beside else []),
        )
        for row in table.iter_rows(named=True)
    )
    caption = f"The deepest drawdowns of {sheet.name}. One that is not over counts until the last bar."
    return Table(columns, rows, caption=caption, sortable=False)


def _date(when: object) -> str:
    return "not yet" if when is None else str(when).removesuffix(" 00:00:00")


def _list_years(sheet: Sheet, table: pl.DataFrame) -> Table:
    names = table.columns[2:-4]
    columns = (
        Column("Year"), *(Column(name.strip(), "return", number=True) for name in names),
        Column("Volatility", number=True), Column("Deepest fall", "in the year", number=True),
        Column("Turnover", "times", number=True), Column("Costs", number=True), Column("Bars", number=True),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(str(row["year"]), value=row["year"]),
            *(Cell(write_percent(row[name], signed=True), value=row[name]) for name in names),
            Cell(write_percent(row["volatility"])), Cell(write_percent(row["max drawdown"])),
            Cell(write_number(row["turnover"], decimals=2)), Cell(write_percent(row["costs"], decimals=2)),
            Cell(f"{row['bars']:,}"),
        )
        for row in table.iter_rows(named=True)
    )  # fmt: skip
    caption = f"Calendar years; volatility, falls, turnover and costs are of {sheet.name}."
    return Table(columns, rows, caption=caption, sortable=False)


def _list_paid(sheet: Sheet, table: pl.DataFrame, held: list[dict[str, float]]) -> Table:
    kinds = [kind for kind in KINDS if table.filter(pl.col("kind") == kind)["paid"].abs().sum() > 0.0]
    columns = (
        Column("Strategy"), Column("Turnover", "a year, one-way", number=True),
        *(Column(kind.capitalize(), "of equity a year", number=True) for kind in kinds),
        Column("Gross exposure", "mean", number=True), Column("Net exposure", "mean", number=True),
    )  # fmt: skip
    rows = []
    for name, figures in zip(sheet.ledgers, held, strict=True):
        paid = {row["kind"]: row for row in table.filter(pl.col("strategy") == name).iter_rows(named=True)}
        rows.append(
            (
                Cell(name, tone="strong"),
                Cell(write_number(figures["turnover"], decimals=2)),
                *(
                    Cell(write_percent(paid[k]["a year"], decimals=3), small=f"{paid[k]['paid']:,.0f} in all")
                    for k in kinds
                ),
                *(Cell(write_percent(figures[which])) for which in ("gross_exposure", "net_exposure")),
            )
        )
    caption = "What was paid over all bars, in the prices' money, and a year as a share of mean equity."
    return Table(columns, tuple(rows), caption=caption, sortable=False)


def _tell_last(sheet: Sheet, table: pl.DataFrame) -> str:
    last = {name.strip(): float(table[name][-1]) for name in table.columns[1:] if name != "cash (rest)"}
    ranked = sorted(last.items(), key=lambda pair: -abs(pair[1]))[:3]
    most = ", ".join(f"{name} {write_percent(value)}" for name, value in ranked)
    return f"The largest positions at the end: {most}." if most else UNDEFINED
