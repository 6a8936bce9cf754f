"""The verb `backtest`: a strategy file or a table of weights on prices, and whether a strategy looks ahead."""

from __future__ import annotations

import json as js
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewright.cli import options
from tidewright.cli.price_words import check_page
from tidewright.errors import AllocationError, ConfigError

if TYPE_CHECKING:
    from tidewright.data.dated import Dated
    from tidewright.portfolio import Costs
    from tidewright.portfolio.backtest.rebalance import Rebalance
    from tidewright.portfolio.strategy import StrategyCheck
    from tidewright.workflows.backtest_file import FileBacktest

SHOWN = (
    "total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "hit_rate", "alpha", "beta",
    "information_ratio", "turnover", "cost_drag", "costs", "gross_exposure", "net_exposure", "periods",
)  # fmt: skip
What = Annotated[
    Path | None, typer.Argument(metavar="[STRATEGY.py | WEIGHTS]", help="A strategy, or a table of target weights.")
]
Prices = Annotated[Path | None, typer.Argument(help="A table of closes: a column an asset, or a row a date and asset.")]
When = Annotated[
    str | None, typer.Option(help="Bring weights back each week, month, quarter or year, or so many bars.")
]
Band = Annotated[float | None, typer.Option(help="Only where an asset is further than this from its target.")]
Beside = Annotated[
    list[Path] | None, typer.Option(help="A further strategy or table of weights to show beside; may be repeated.")
]
Trials = Annotated[float | None, typer.Option(help="How many strategies were tried, for the deflated Sharpe.", min=1)]


def backtest_verb(
    what: What = None,
    prices: Prices = None,
    check: Annotated[bool, typer.Option("--check", help="Does the strategy look ahead? Exit 1 where it does.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Print a strategy to begin with.")] = False,
    fill: Annotated[str, typer.Option(help="close or open: where a decision is filled, one bar later.")] = "close",
    opens: Annotated[Path | None, typer.Option(help="With --fill open: a table of opens.")] = None,
    fee_bps: Annotated[float, typer.Option(help="A fee in basis points of what is traded.")] = 1.0,
    half_spread_bps: Annotated[float, typer.Option(help="Half of the spread, in basis points of it.")] = 2.0,
    cash: Annotated[float, typer.Option(help="The money at the start.")] = 1_000_000.0,
    short: Annotated[bool, typer.Option("--short", help="Weights may be below zero.")] = False,
    max_gross: Annotated[float, typer.Option(help="Long plus short as a share of equity, at most.")] = 1.0,
    benchmark: Annotated[str | None, typer.Option(help="An asset of the prices, or equal: the mean of all.")] = None,
    carry: Annotated[int, typer.Option(help="Carry a price over at most so many bars without one.", min=0)] = 0,
    cash_rate: Annotated[float, typer.Option(help="What cash earns a year, as a fraction.")] = 0.0,
    rebalance: When = None,
    band: Band = None,
    beside: Beside = None,
    trials: Trials = None,
    price: Annotated[str | None, typer.Option(help="The column of prices of a long table.")] = None,
    series: options.Series = None,
    time: options.Time = None,
    frequency: options.Frequency = None,
    calendar: options.Calendar = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a strategy may take for an answer.")] = 60.0,
    page: Annotated[Path | None, typer.Option(help="Write a tear sheet here (.html).")] = None,
    json: options.Json = False,
) -> None:
    """What a strategy or a table of target weights would have earned after costs, or, with --check, whether a strategy
    looks ahead.

    A strategy is a file with decide(prices); it runs in a process of its own, without a network (see --template).
    """
    check_page(page)
    if template:
        return _print_template()
    if what is None or prices is None:
        raise ConfigError("give a strategy or a table of weights, and a table of prices. See --template and --help.")
    from tidewright.data.dated import read_dated

    columns: dict[str, Any] = {"time": time, "series": series}
    table = read_dated(prices, value=price, **columns)
    if check:
        return _check(what, table, timeout_s=timeout, as_json=json)
    given: dict[str, Any] = {"benchmark": benchmark, "initial_cash": cash, "cash_rate": cash_rate, "trials": trials}
    given |= {"allow_short": short, "max_gross": max_gross, "carry": carry, "rebalance": _make_rule(rebalance, band)}
    given |= {"frequency": frequency, "calendar": calendar, "timeout_s": timeout}
    given |= _choose_fill(fill, opens, table, columns) | {"costs": _make_costs(fee_bps, half_spread_bps)}
    found, others = _run([what, *(beside or [])], table, given)
    _write_page(found, others, page, costs=given["costs"], trials=trials)
    if json:
        typer.echo(js.dumps(_to_data(found, others, costs=asdict(given["costs"])), indent=2))
    else:
        _show(found, others, again=shlex.join(["tidewright", "backtest", "--check", str(what), str(prices)]))


def _print_template() -> None:
    from tidewright.portfolio.strategy import TEMPLATE

    typer.echo(TEMPLATE, nl=False)


def _check(what: Path, prices: Dated, *, timeout_s: float, as_json: bool) -> None:
    """Shows the verdict; a look-ahead is an error with its message."""
    from tidewright.cli.show import to_plain
    from tidewright.portfolio.strategy import check_strategy

    if what.suffix != ".py":
        raise ConfigError(f"--check is of a strategy, a file that ends in .py; got '{what}'.")
    with _Noted():
        found = check_strategy(what, prices, timeout_s=timeout_s)
    if as_json:
        typer.echo(js.dumps(to_plain(found.to_dict()), indent=2))
    else:
        _show_check(found)
    found.verdict.refuse()


def _show_check(found: StrategyCheck) -> None:
    if found.verdict.clean:
        typer.echo(found.verdict.explain())
    for note in found.verdict.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{found.file} (sha256 {found.sha256[:12]}) ran {found.isolation}")


def _choose_fill(fill: str, opens: Path | None, prices: Dated, columns: dict[str, Any]) -> dict[str, Any]:
    from tidewright.workflows.backtest_file import read_opens

    if fill not in ("close", "open") or (fill == "open") != (opens is not None):
        raise ConfigError(
            "--fill is close, or open together with --opens, a table of opens; "
            f"got {fill} {'with' if opens else 'without'} --opens."
        )
    return {"fill": f"next {fill}", "opens": None if opens is None else read_opens(opens, prices, **columns)}


def _make_costs(fee_bps: float, half_spread_bps: float) -> Costs:
    from tidewright.portfolio import Costs

    return Costs(fee_bps=fee_bps, half_spread_bps=half_spread_bps)


def _make_rule(rebalance: str | None, band: float | None) -> Rebalance | None:
    """A calendar (a word, or a number of bars), a band, or both."""
    from tidewright.portfolio.backtest.rebalance import Rebalance

    if rebalance is None and band is None:
        return None
    every: Any = int(rebalance) if rebalance is not None and rebalance.isdigit() else rebalance
    return Rebalance(every=every, band=band)


def _run(files: list[Path], prices: Dated, given: dict[str, Any]) -> tuple[FileBacktest, list[FileBacktest]]:
    """The first, and those beside it, each on the same prices at the same costs."""
    from tidewright.workflows.backtest_file import backtest_file

    names = [file.name for file in files]
    if len(set(files)) < len(files):
        twice = next(one for one in files if files.count(one) > 1)
        raise ConfigError(f"'{twice}' is named twice. Leave one out.")
    found = [backtest_file(file, prices, **given) for file in files]
    named = [
        one if names.count(one.name) == 1 else replace(one, name=str(file))
        for one, file in zip(found, files, strict=True)
    ]
    return named[0], named[1:]


def _write_page(
    found: FileBacktest, others: list[FileBacktest], page: Path | None, *, costs: Costs, trials: float | None
) -> None:
    from tidewright.report.tear_sheet import write_tear_sheet

    if page is None:
        return
    ledgers = {one.name: one.ledger for one in (found, *others)}
    ledgers |= {} if found.floor is None else {"equal weight": found.floor}
    notes = [note for note in found.notes if note not in found.ledger.notes]  # the page has these from the ledger
    if found.floor is not None:
        count = int((found.floor.trades != 0.0).any(axis=0).sum())
        notes.append(f"equal weight holds the {count} assets that have all prices, at the strategy's dates and costs")
    if found.benchmark:
        what = "the mean return of all assets" if found.benchmark == "equal" else f"the price of {found.benchmark}"
        notes.append(f"the benchmark is {what}")
    notes += [] if found.isolation is None else [f"the strategy ran {found.isolation}"]
    written = write_tear_sheet(
        page,
        ledger=ledgers,
        periods_per_year=found.periods_per_year,
        benchmark=found.levels,
        benchmark_name=found.benchmark or "benchmark",
        costs=costs,
        trials=trials,
        assumptions=[note[:1].upper() + note[1:].removesuffix(".") + "." for note in notes],
    )
    typer.echo(f"page  {written}", err=True)


def _to_data(found: FileBacktest, others: list[FileBacktest], *, costs: dict[str, Any]) -> dict[str, Any]:
    from tidewright.cli.show import to_plain

    ledger = found.ledger
    plain: dict[str, Any] = to_plain(
        {
            "name": found.name,
            "figures": dict(found.figures),
            "beside": {one.name: dict(one.figures) for one in others},
            "equal_weight": _floor_figures(found),
            "deflated_sharpe": None if found.deflated is None else asdict(found.deflated),
            "benchmark": found.benchmark,
            "periods_per_year": found.periods_per_year,
            "costs": costs,
            "assets": list(ledger.assets),
            "notes": list(found.notes),
            "isolation": None if found.isolation is None else asdict(found.isolation),
            "times": [str(time) for time in ledger.times.astype("datetime64[s]")],
            "equity": ledger.equity.tolist(),
        }
    )
    return plain


def _floor_figures(found: FileBacktest) -> dict[str, float]:
    return {} if found.floor is None else dict(found.floor.summary(periods_per_year=found.periods_per_year))


def _show(found: FileBacktest, others: list[FileBacktest], *, again: str) -> None:
    from tidewright.cli.show import show_table
    from tidewright.cli.verbs import typeable

    columns = {one.name: dict(one.figures) for one in (found, *others)} | {"equal weight": _floor_figures(found)}
    if found.floor is None:
        del columns["equal weight"]
    rows: list[dict[str, Any]] = [
        {
            "figure": name,
            **{title: f"{of[name]:,.4g}" if name in of else "" for title, of in columns.items()},
            "unit": _unit_of(name),
        }
        for name in SHOWN
        if name in found.figures
    ]
    if found.deflated is not None:
        name = f"deflated_sharpe after {found.deflated.trials:g} trials"
        told = {one.name: f"{one.deflated.probability:.4g}" for one in (found, *others) if one.deflated is not None}
        rows.append({"figure": name, **dict.fromkeys(columns, ""), **told, "unit": "probability"})
    first, last = (str(found.ledger.times[at].astype("datetime64[D]")) for at in (0, -1))
    typer.echo(f"{found.name}: {len(found.ledger.assets)} assets, {first} to {last}, after costs")
    show_table(rows, title="")
    more = [f"{one.name}: {note}" for one in others for note in one.notes if note not in found.notes]
    for note in (*found.notes, *more):
        typer.echo(f"note: {note}")
    if found.isolation is not None:
        typer.echo(f"note: it ran {found.isolation}")
        typer.echo(f"next    {typeable(again)}")


def _unit_of(figure: str) -> str:
    from tidewright.metrics.returns import RETURN_METRICS

    return {"costs": "money in all", "periods": "bars"}.get(figure) or RETURN_METRICS[figure].unit


class _Noted:
    """A context in which an error's message has its notes with it."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        notes = getattr(error, "__notes__", [])
        if isinstance(error, AllocationError) and notes:
            raise AllocationError("\n".join([str(error), *notes])) from error
