"""The verb `allocate`: from prices, and forecasts that proved themselves, to weights within limits."""

from __future__ import annotations

import json as js
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewright.cli import options
from tidewright.cli.price_words import (
    AsOf,
    Carry,
    Lookback,
    MaxGross,
    Page,
    Price,
    Short,
    check_page,
    name_columns,
    read_bars,
    split_words,
)
from tidewright.errors import ConfigError

if TYPE_CHECKING:
    from tidewright.data.dated import Dated
    from tidewright.portfolio import Costs
    from tidewright.workflows.allocate_file import FileAllocation, Plan
    from tidewright.workflows.forecast_file import FileForecast

USAGE = "give prices, or a bundle or a table of predictions and then prices"
MOST = 40  # weights shown; the output has all

Items = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[BUNDLE | PREDICTIONS] PRICES [KEY=VALUE]...",
        help="Prices, wide or long; before them forecasts; after them options of the method, as target=0.01.",
    ),
]
Method = Annotated[str, typer.Option(help="hrp, min_variance, max_sharpe, risk_parity ...: docs/allocation.md")]
Estimate = Annotated[
    str | None,
    typer.Option(help="sample, ledoit_wolf, oas, denoised, ewma or factor; else the method's."),
]
Previous = Annotated[Path | None, typer.Option(help="The weights held now: date, asset, weight, or asset, weight.")]
Benchmark = Annotated[str | None, typer.Option(help="A column of the prices to stand beside; it gets no weight.")]


def allocate_verb(
    items: Items = None,
    method: Method = "hrp",
    limits: Annotated[Path | None, typer.Option(help="A YAML file: sentences under 'limits:', and groups.")] = None,
    covariance: Estimate = None,
    lookback: Lookback = None,
    previous: Previous = None,
    benchmark: Benchmark = None,
    views: Annotated[str, typer.Option(help="How forecasts move weights: tilt, black_litterman or none.")] = "tilt",
    model: Annotated[str | None, typer.Option(help="Which model of a table of predictions of several.")] = None,
    floor: Annotated[str | None, typer.Option(help="The model of that table that it must beat.")] = None,
    fee_bps: Annotated[float | None, typer.Option(help="A fee in basis points, inside the optimum.")] = None,
    half_spread_bps: Annotated[float | None, typer.Option(help="Half of the spread, likewise.")] = None,
    holding: Annotated[float, typer.Option(help="A trade's cost is spread over so many bars.")] = 21.0,
    risk_free: Annotated[float, typer.Option(help="What cash earns a year, as a fraction.")] = 0.0,
    as_of: AsOf = None,
    carry: Carry = 0,
    short: Short = False,
    max_gross: MaxGross = 1.0,
    price: Price = None,
    series: options.Series = None,
    time: options.Time = None,
    frequency: options.Frequency = None,
    calendar: options.Calendar = None,
    output: Annotated[Path | None, typer.Option(help="Write the weights here (.csv, .parquet or .json).")] = None,
    page: Page = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Weights for the next bar from past returns, and from forecasts as far as they proved to be better than a floor.

    Without forecasts the weights rest on returns alone. --short and --max-gross are of the weights held now.
    """
    from tidewright.workflows.weights_file import check_output, read_weights

    check_output(output)
    check_page(page)
    files, chosen = split_words(items, most=2, usage=USAGE)
    columns: dict[str, Any] = {"series": series, "time": time}
    prices = read_bars(files[-1], price=price, carry=carry, as_of=as_of, **columns)
    held = None if previous is None else read_weights(previous, prices, max_gross=max_gross, allow_short=short)
    plan = _make_plan(
        method=method, limits=limits, covariance=covariance, lookback=lookback, previous=held, benchmark=benchmark,
        views=views, costs=_make_costs(fee_bps, half_spread_bps), holding=holding, risk_free=risk_free, options=chosen,
    )  # fmt: skip
    asked: dict[str, Any] = {"model": model, "floor": floor, **columns}
    found = _run(files[:-1], prices, plan, asked, frequency=frequency, calendar=calendar, quiet=quiet, plain=json)
    _write(found, output=output, page=page)
    if json:
        typer.echo(js.dumps(_to_data(found), indent=2))
    else:
        _show(found, plan=plan)
        again = [str(files[-1]), *name_columns(price=price, **columns)]
        _say_next(again, output=output, later=as_of is not None)


def _make_plan(*, limits: Path | None, **given: Any) -> Plan:
    from tidewright.portfolio.limits import Limits
    from tidewright.workflows.allocate_file import Plan

    read = None if limits is None else Limits.from_yaml(limits)
    if read is not None and read.turnover is not None and given["previous"] is None:
        raise ConfigError(
            f"'{limits}' limits turnover, which counts from the weights held now. Name their table with --previous."
        )
    return Plan(limits=read, **given)


def _make_costs(fee_bps: float | None, half_spread_bps: float | None) -> Costs | None:
    from tidewright.portfolio import Costs

    if fee_bps is None and half_spread_bps is None:
        return None
    return Costs(fee_bps=fee_bps or 0.0, half_spread_bps=half_spread_bps or 0.0)


def _run(
    sources: Sequence[Path], prices: Dated, plan: Plan, asked: dict[str, Any], *, quiet: bool, plain: bool, **grid: Any
) -> FileAllocation:
    """The weights; what is being done is told where a bundle is asked, which may take seconds."""
    from tidewright.cli.progress import ProgressView
    from tidewright.cli.verbs import Told
    from tidewright.workflows.allocate_file import allocate_file

    slow = any(one.is_dir() for one in sources)
    with ProgressView(quiet=quiet or not slow, plain=plain) as view, Told(view.say):
        forecast = _hear(sources[0], prices, asked, tell=view.tell) if sources else None
        return allocate_file(prices, plan=plan, forecast=forecast, tell=view.tell, **grid)


def _hear(source: Path, prices: Dated, asked: dict[str, Any], *, tell: Any) -> FileForecast:
    from tidewright.workflows.forecast_file import ask_bundle, read_forecasts

    if not source.exists():
        raise ConfigError(
            f"'{source}' does not exist. Give a bundle's folder or a table of predictions before the prices."
        )
    if not source.is_dir():
        return read_forecasts(source, prices, **asked)
    if asked["model"] or asked["floor"]:
        raise ConfigError(
            "--model and --floor are of a table of predictions; a bundle holds one model. Leave them out."
        )
    return ask_bundle(source, prices, tell=tell)


def _write(found: FileAllocation, *, output: Path | None, page: Path | None) -> None:
    if output is not None:
        from tidewright.workflows.weights_file import tabulate_weights, write_weights

        write_weights(tabulate_weights(found.weights, time=found.time), output)
        typer.echo(f"{len(found.weights.assets)} weights in {output}", err=True)
    if page is not None:
        from tidewright.report.allocation_page import write_allocation_page

        typer.echo(f"page  {write_allocation_page(found, path=page)}", err=True)


def _to_data(found: FileAllocation) -> dict[str, Any]:
    from tidewright.cli.show import to_plain

    skill = None if found.forecast is None else found.forecast.skill
    assets = found.weights.assets
    plain: dict[str, Any] = to_plain(
        {
            "time": str(found.time.astype("datetime64[s]")),
            "first": str(found.first.astype("datetime64[s]")),
            "bars": found.bars,
            "method": found.weights.method,
            "weights": found.weights.as_dict(),
            "without_forecasts": found.base.as_dict(),
            "cash": found.weights.cash,
            "risk": {
                "volatility": found.figures.volatility,
                "value_at_risk": found.figures.var,
                "expected_shortfall": found.figures.es,
                "shares": dict(zip(assets, found.figures.shares.tolist(), strict=True)),
                "beta": found.figures.beta,
                "tracking_error": found.figures.tracking_error,
            },
            "limits": [asdict(one) for one in found.limits],
            "turnover": found.turnover,
            "forecast": None if found.forecast is None else found.forecast.name,
            "moved": found.moved,
            "reason": found.reason,
            "skill": None if skill is None else _tell_skill(skill),
            "periods_per_year": found.periods_per_year,
            "notes": list(found.notes),
        }
    )
    return plain


def _tell_skill(skill: Any) -> dict[str, Any]:
    names = ("mean", "error", "statistic", "shrunk", "weight", "used", "floor_mean", "beats_floor", "evidence", "count")
    return {name: getattr(skill, name) for name in names}


def _show(found: FileAllocation, *, plan: Plan) -> None:
    from tidewright.cli.show import show_table
    from tidewright.workflows.price_window import name_date

    head = f"weights after {name_date(found.time)} by {found.weights.method}, from {found.bars} returns"
    typer.echo(head)
    show_table(_list_weights(found, plan=plan), title="")
    if len(found.weights.assets) > MOST:
        typer.echo(f"{len(found.weights.assets) - MOST} more assets; --output and --json have all of them")
    typer.echo(_tell_risk(found, benchmark=plan.benchmark))
    if found.limits:
        show_table([_limit_row(one) for one in found.limits], title="")
    typer.echo(found.reason)
    for note in found.notes:
        typer.echo(f"note: {note}")


def _list_weights(found: FileAllocation, *, plan: Plan) -> list[dict[str, Any]]:
    """The largest first."""
    order = sorted(range(len(found.weights.assets)), key=lambda place: -found.weights.values[place])
    held = {} if plan.previous is None else plan.previous.as_dict()
    rows = []
    for place in order[:MOST]:
        name, weight = found.weights.assets[place], float(found.weights.values[place])
        row: dict[str, Any] = {"asset": name, "weight": f"{weight:.2%}"}
        if found.moved:
            row["without forecasts"] = f"{found.base.values[place]:.2%}"
        if plan.previous is not None:
            row |= {"held": f"{held.get(name, 0.0):.2%}", "trade": f"{weight - held.get(name, 0.0):+.2%}"}
        rows.append(row | {"share of variance": f"{found.figures.shares[place]:.1%}"})
    if abs(found.weights.cash) > 1e-9:
        rows.append({**dict.fromkeys(rows[0], ""), "asset": "cash", "weight": f"{found.weights.cash:.2%}"})
    return rows


def _tell_risk(found: FileAllocation, *, benchmark: str | None) -> str:
    figures = found.figures
    told = f"volatility {figures.volatility:.2%} a year; a bar at 95 %: value at risk {figures.var:.2%}, expected "
    told += f"shortfall {figures.es:.2%}, of the lookback as it was"
    if figures.beta is not None:
        told += f"; beta to {benchmark} {figures.beta:.2f}, tracking error {figures.tracking_error:.2%} a year"
    if found.turnover is not None:
        told += f"; {found.turnover:.1%} of the money is traded, purchases and sales"
    return told


def _limit_row(one: Any) -> dict[str, Any]:
    state = "binds" if one.binds else ""
    more = f" and {len(one.assets) - 5} more" if len(one.assets) > 5 else ""
    at = f": {', '.join(one.assets[:5])}{more}" if one.assets else ""
    return {"limit": one.words, "now": f"{one.value:.4g}", "bound": f"{one.bound:.4g}", "": f"{state}{at}"}


def _say_next(prices: list[str], *, output: Path | None, later: bool) -> None:
    from tidewright.cli.verbs import typeable

    if output is None or output.suffix == ".json":
        typer.echo("next    keep the weights with --output weights.csv")
        return
    words = ["tidewright", "backtest", str(output), *prices] if later else []
    words = words or ["tidewright", "risk", *prices, "--weights", str(output)]
    typer.echo(f"next    {typeable(shlex.join(words))}")
