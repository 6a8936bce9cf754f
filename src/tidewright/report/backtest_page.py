"""The page of one backtest: its figures after costs, its equity and drawdowns, and what it rests on."""

from __future__ import annotations

import math
from pathlib import Path

from tidewright.metrics.returns import RETURN_METRICS
from tidewright.portfolio import Costs
from tidewright.report.blocks import Block, Cell, Column, Picture, Section, Table, Tile, Words
from tidewright.report.draw_portfolio import draw_drawdown, draw_equity
from tidewright.report.numbers import UNDEFINED, write_number, write_percent
from tidewright.report.page import Page, write_page
from tidewright.workflows.backtest_file import FileBacktest
from tidewright.workflows.result import Strategy


def write_backtest_page(found: FileBacktest, *, costs: Costs, path: Path) -> Path:
    """Writes the page of a backtest, and gives back its path."""
    return write_page(collect_backtest(found, costs=costs), path)


def collect_backtest(found: FileBacktest, *, costs: Costs) -> Page:
    """All that the page says."""
    first, last = (str(found.ledger.times[at].astype("datetime64[D]")) for at in (0, -1))
    luck = "its returns don't vary" if found.deflated is None else _tell_luck(found)
    return Page(
        title=f"Backtest of {found.name}",
        eyebrow="Tidewright backtest",
        headline=f"{found.name}: {write_percent(found.figures['cagr'])} a year after costs",
        reason=luck,
        subject=f"{len(found.ledger.assets)} assets, {first} to {last}.",
        tiles=_tiles(found),
        sections=(_tell_account(found), _tell_basis(found, costs=costs)),
    )


def _tell_luck(found: FileBacktest) -> str:
    assert found.deflated is not None
    many = "1 trial" if found.deflated.trials == 1 else f"{found.deflated.trials:g} trials"
    return (
        f"With a probability of {write_percent(found.deflated.probability)} its Sharpe ratio is above what the best of "
        f"{many} without skill would show."
    )


def _tiles(found: FileBacktest) -> tuple[Tile, ...]:
    figures = found.figures
    return (
        Tile("Sharpe", _write("sharpe", figures["sharpe"]), "a year"),
        Tile("Max drawdown", _write("max_drawdown", figures["max_drawdown"]), "of the peak before"),
        Tile("Volatility", _write("volatility", figures["volatility"]), "a year"),
        Tile("Turnover", _write("turnover", figures["turnover"]), "one-way, times a year"),
    )


def _tell_account(found: FileBacktest) -> Section:
    one = (Strategy(found.name, found.ledger, found.figures, found.deflated),)
    since = "from the bar before the first fill, after costs"
    blocks: list[Block] = [
        Picture("equity", draw_equity(one), f"Equity {since}, on a log axis.", "Line chart of it.", title="Equity"),
        Picture(
            "drawdown", draw_drawdown(one), f"Distance below the highest equity so far, {since}.",
            "Line chart of the drawdown.", title="Drawdown",
        ),
        _figures(found),
    ]  # fmt: skip
    return Section("account", "What it would have earned", "", blocks)


def _figures(found: FileBacktest) -> Table:
    rows = [
        (Cell(name, tone="strong"), Cell(_unit(name), tone="muted"), Cell(_write(name, value), value=value))
        for name, value in found.figures.items()
    ]
    beside = f" Relative figures are beside {found.benchmark}." if found.benchmark else ""
    caption = f"Figures of net returns after costs.{beside}"
    return Table((Column("Figure"), Column("Unit"), Column("Value", number=True)), tuple(rows), caption=caption)


def _tell_basis(found: FileBacktest, *, costs: Costs) -> Section:
    lines = [
        f"Each purchase and each sale costs {costs.fee_bps:g} bps of its value as a fee and "
        f"{costs.half_spread_bps:g} bps as half of the spread.",
        "A decision of a bar is filled at the next one. Cash earns nothing; fractions of a unit can be held.",
        *found.notes,
    ]
    if found.isolation is not None:
        lines.append(f"The strategy ran {found.isolation}.")
    return Section("basis", "What it rests on", "", [Words(tuple(lines))])


def _unit(name: str) -> str:
    return RETURN_METRICS[name].unit if name in RETURN_METRICS else {"costs": "money"}.get(name, "")


def _write(name: str, value: float) -> str:
    if math.isnan(value):
        return UNDEFINED
    if _unit(name).startswith("fraction"):
        return write_percent(value, decimals=2)
    return write_number(value, decimals=0 if name in ("costs", "periods") else 2)
