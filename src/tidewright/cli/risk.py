"""The verb `risk`: what prices and weights may lose, by several methods, and whether these would have been right."""

from __future__ import annotations

import json as js
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidewright.cli import options
from tidewright.cli.price_words import AsOf, Carry, MaxGross, Page, Price, Short, check_page, name_columns, read_bars
from tidewright.errors import ConfigError

if TYPE_CHECKING:
    from tidewright.workflows.risk_file import FileRisk, RiskPlan

MOST = 40  # assets shown; --json has all

Methods = Annotated[str, typer.Option(help="historical, normal, t, filtered_historical ... with commas, or all.")]
Lookback = Annotated[
    int | None, typer.Option(help="So many past returns count (1000, or all where there are fewer).", min=2)
]
Stress = Annotated[bool, typer.Option("--stress", help="Past crises and the worst weeks, on these weights.")]
Window = Annotated[
    int | None, typer.Option(help="With --test: from so many bars before each (500, or half of all).", min=2)
]


def risk_verb(
    prices: Annotated[Path, typer.Argument(help="A table of closes: a column an asset, or a row a date and asset.")],
    weights: Annotated[Path | None, typer.Option(help="A table of asset and weight; equal ones when left out.")] = None,
    method: Methods = "historical,normal,t",
    confidence: Annotated[str, typer.Option(help="Probabilities, with commas.")] = "0.95,0.99",
    horizon: Annotated[int, typer.Option(help="So many bars ahead.", min=1)] = 1,
    lookback: Lookback = None,
    volatility: Annotated[str | None, typer.Option(help="Fit garch, gjr, egarch, tarch or ewma to each asset.")] = None,
    distribution: Annotated[str, typer.Option(help="Of its shocks: normal, t or skewt.")] = "normal",
    stress: Stress = False,
    test: Annotated[bool, typer.Option("--test", help="Hold each bar's value at risk against what came.")] = False,
    window: Window = None,
    as_of: AsOf = None,
    carry: Carry = 0,
    short: Short = False,
    max_gross: MaxGross = 1.0,
    price: Price = None,
    series: options.Series = None,
    time: options.Time = None,
    frequency: options.Frequency = None,
    calendar: options.Calendar = None,
    page: Page = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Value at risk and expected shortfall of assets and of a portfolio with its parts, volatility ahead, and crises.

    Losses are positive. With --test: Kupiec, Christoffersen, Acerbi and Szekely, and the traffic light.
    """
    from tidewright.cli.progress import ProgressView
    from tidewright.cli.verbs import Told
    from tidewright.workflows.risk_file import measure_file
    from tidewright.workflows.weights_file import read_weights

    check_page(page)
    plan = _make_plan(
        method, confidence, horizon=horizon, lookback=lookback, volatility=volatility, distribution=distribution,
        crises=stress, tested=test, window=window,
    )  # fmt: skip
    table = read_bars(prices, price=price, series=series, time=time, carry=carry, as_of=as_of)
    held = None if weights is None else read_weights(weights, table, max_gross=max_gross, allow_short=short)
    slow = test or volatility is not None or len(plan.methods) > 3
    with ProgressView(quiet=quiet or not slow, plain=json) as view, Told(view.say):
        grid = {"frequency": frequency, "calendar": calendar}
        found = measure_file(table, plan=plan, weights=held, tell=view.tell, count=view.count, **grid)
    _write_page(found, page)
    if json:
        typer.echo(js.dumps(_to_data(found), indent=2))
    else:
        _show(found)
        again = [str(prices), *name_columns(price=price, series=series, time=time)]
        _say_next(again, weights, tested=test)


def _write_page(found: FileRisk, page: Path | None) -> None:
    if page is not None:
        from tidewright.report.risk_page import write_risk_page

        typer.echo(f"page  {write_risk_page(found, path=page)}", err=True)


def _make_plan(method: str, confidence: str, **given: Any) -> RiskPlan:
    from tidewright.portfolio.risk.plans import PLANS
    from tidewright.workflows.risk_file import RiskPlan

    if given["window"] is not None and not given["tested"]:
        raise ConfigError("--window belongs to --test. Say both, or leave it out.")
    methods = tuple(PLANS) if method == "all" else tuple(method.split(","))
    try:
        levels = tuple(float(one) for one in confidence.split(","))
    except ValueError as error:
        raise ConfigError(f"--confidence is probabilities with commas, as 0.95,0.99; got '{confidence}'.") from error
    return RiskPlan(methods=methods, confidences=levels, **given)


def _to_data(found: FileRisk) -> dict[str, Any]:
    from tidewright.cli.show import to_plain
    from tidewright.report import risk_rows as rows

    risks = [
        {
            "method": risk.method, "confidence": risk.confidence, "horizon_by": risk.horizon_by,
            "assets": {name: {"var": var, "es": es} for name, (var, es) in risk.as_dict().items()},
            "portfolio": _portfolio(risk),
        }
        for risk in found.risks.values()
    ]  # fmt: skip
    plain: dict[str, Any] = to_plain(
        {
            "time": str(found.time.astype("datetime64[s]")),
            "first": str(found.first.astype("datetime64[s]")),
            "bars": found.bars,
            "horizon": found.horizon,
            "weights": found.weights.as_dict(),
            "risks": risks,
            "volatility": _volatility_data(found),
            "stress": [] if found.stress is None else rows.list_stress(found, whole=True),
            "tests": [_test_data(*key, found) for key in found.tests],
            "failed": dict(found.failed),
            "periods_per_year": found.periods_per_year,
            "notes": list(rows.collect_notes(found)),
        }
    )
    return plain


def _portfolio(risk: Any) -> dict[str, Any]:
    book = risk.portfolio
    parts = {
        name: dict(zip(risk.assets, getattr(book, name).tolist(), strict=True))
        for name in ("component_var", "component_es")
    }
    return {"var": book.var, "es": book.es, **parts}


def _volatility_data(found: FileRisk) -> dict[str, Any] | None:
    ahead = found.volatility
    if ahead is None:
        return None
    assets = ahead.fit.assets
    columns = {
        "last": ahead.last,
        "next": ahead.following,
        "horizon": ahead.horizon,
        "persistence": ahead.fit.persistence,
    }
    per_asset = {name: {key: values[at] for key, values in columns.items()} for at, name in enumerate(assets)}
    return {"model": ahead.fit.spec.model, "distribution": ahead.fit.spec.distribution, "assets": per_asset}


def _test_data(method: str, confidence: float, found: FileRisk) -> dict[str, Any]:
    test = found.tests[method, confidence]
    light = test.traffic_light
    results = {name: getattr(test, name) for name in ("kupiec", "independence", "conditional_coverage", "z1", "z2")}
    told = {
        name: None if one is None else {"statistic": one.statistic, "p_value": one.p_value}
        for name, one in results.items()
    }
    plain = {"method": method, "confidence": confidence, "bars": test.bars, "exceptions": test.exceptions}
    return {**plain, "expected": test.expected, **told, "zone": light.zone, "notes": list(test.notes)}


def _show(found: FileRisk) -> None:
    from tidewright.cli.show import show_table
    from tidewright.report import risk_rows as rows
    from tidewright.workflows.price_window import name_date

    bars = "the next bar" if found.horizon == 1 else f"the next {found.horizon} bars"
    typer.echo(f"risk of {bars} after {name_date(found.time)}, from {found.bars} returns; losses are positive")
    show_table(rows.list_methods(found), title="")
    show_table(rows.list_assets(found, most=MOST), title="")
    if len(found.weights.assets) > MOST:
        typer.echo(f"{len(found.weights.assets) - MOST} more assets; --json has all of them")
    if found.volatility is not None:
        typer.echo(f"volatility a year, by {found.volatility.fit.spec.model}")
        show_table(rows.list_volatility(found, most=MOST), title="")
    if found.stress is not None:
        typer.echo("stress: losses of these weights, nothing traded on the way")
        show_table(rows.list_stress(found), title="")
    if found.tests:
        typer.echo("was it right? p-values; small where it was hardly so")
        show_table(rows.list_tests(found), title="")
    for line in rows.list_failed(found):
        typer.echo(line)
    for note in rows.collect_notes(found):
        typer.echo(f"note: {note}")


def _say_next(prices: list[str], weights: Path | None, *, tested: bool) -> None:
    from tidewright.cli.verbs import typeable

    words = ["tidewright", "risk", *prices, *(["--weights", str(weights)] if weights else []), "--test"]
    words = ["tidewright", "allocate", *prices, "--method", "min_cvar"] if tested else words
    typer.echo(f"next    {typeable(shlex.join(words))}")
