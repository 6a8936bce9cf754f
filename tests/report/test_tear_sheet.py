"""The tear sheet: true to its ledgers, whole, safe, honest about luck, and not large."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from plotly.offline import get_plotlyjs

import tidewright as tw
from tests.report.pages import Page, read_page
from tests.report.searches import make_tried
from tests.report.worlds import NASTY
from tidewright.errors import AllocationError, ConfigError
from tidewright.metrics.returns import list_drawdowns, summarise
from tidewright.metrics.selection import Overfitting
from tidewright.portfolio import Costs, Ledger, backtest_weights, deflated_sharpe, sample_sharpe
from tidewright.portfolio.backtest.actions import Actions
from tidewright.report.draw_sheet import POINTS, draw_areas
from tidewright.report.numbers import write_percent
from tidewright.report.sheet import read_sheet
from tidewright.report.sheet_margins import judge, table_margins, tell_margins
from tidewright.report.sheet_risk import roll_beta, roll_sharpe
from tidewright.report.tear_sheet import collect_tables

BARS, ASSETS, DECIDED = 640, 6, 60
DRAW = np.random.default_rng(8)
PRICES = 100.0 * np.cumprod(1.0 + DRAW.normal(4e-4, 0.012, (BARS, ASSETS)) + DRAW.normal(0, 0.008, (BARS, 1)), axis=0)
TIMES = np.datetime64("2021-03-10") + np.arange(BARS)
NAMES = ("A", "B", "C", "D", "time", NASTY)
MARKET = PRICES.mean(axis=1)
COSTS = Costs(fee_bps=2.0, half_spread_bps=3.0, borrow_bps=50.0)
GROUPS = {"A": "Energy", "B": "Energy", "C": "Banks", "D": "Banks", "time": "Banks"}
SECTIONS = ["figures", "growth", "time", "holdings", "trading", "risk", "luck", "assumptions"]


def run(targets: np.ndarray, *, first: int = DECIDED, **more: Any) -> Ledger:
    asked = np.full((BARS, ASSETS), np.nan)
    asked[first::21] = targets if targets.ndim == 1 else targets[: len(asked[first::21])]
    return backtest_weights(asked, PRICES, times=TIMES, assets=NAMES, costs=COSTS, **more)


@pytest.fixture(scope="module", name="ledgers")
def make_ledgers() -> dict[str, Ledger]:
    mine = DRAW.dirichlet(np.ones(ASSETS), 40)
    return {"mine": run(mine), "equal weight": run(np.full(ASSETS, 1 / ASSETS))}


@pytest.fixture(scope="module", name="path")
def write(ledgers: dict[str, Ledger], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tw.write_tear_sheet(
        tmp_path_factory.mktemp("sheet") / "new" / "sheet.html",
        ledger=ledgers, benchmark=MARKET, benchmark_name="index", groups=GROUPS, costs=COSTS,
        periods_per_year=252, trials=40, overfitting=Overfitting(0.31, 16, 12_870, 40),
        assumptions=(f"Said by {NASTY}.",),
    )  # fmt: skip


@pytest.fixture(scope="module", name="page")
def parse(path: Path) -> Page:
    return read_page(path.read_text())


@pytest.fixture(scope="module", name="tables")
def collect(ledgers: dict[str, Ledger]) -> dict[str, pl.DataFrame]:
    return collect_tables(read(ledgers))


def read(ledger: Any, **more: Any) -> Any:
    given: dict[str, Any] = {"benchmark": MARKET, "benchmark_name": "index", "groups": GROUPS}
    given |= {"periods_per_year": 252.0, "risk_free": 0.0, "window": None}
    return read_sheet(ledger, **{**given, **more})


def test_the_page_has_every_part_and_every_picture_its_words(page: Page) -> None:
    assert list(page.sections) == SECTIONS
    charts = {known["id"].removeprefix("chart-"): known for tag, known in page.tags if known.get("class") == "chart"}
    assert set(charts) == set(page.figures) == {
        "equity", "drawdown", "rolling-sharpe", "rolling-beta", "months", "weights", "exposures", "turnover", "costs",
        "value-at-risk", "contributions",
    }  # fmt: skip
    assert all(known["role"] == "img" and len(known["aria-label"]) > 20 for known in charts.values())
    named = [trace["name"] for trace in page.figures["equity"]["data"]]
    assert named == ["mine", "equal weight", "index"]


def test_nothing_is_loaded_and_no_name_is_html(path: Path) -> None:
    html = path.read_text()
    page = read_page(html)
    assert not [known for tag, known in page.tags if known.get("src") or known.get("href", "#")[:4] == "http"]
    assert "<script>alert" not in html
    assert "default-src 'none'" in html


def test_the_figures_are_those_of_the_ledgers_returns(page: Page, ledgers: dict[str, Ledger]) -> None:
    for column, name in ((2, "mine"), (4, "equal weight")):
        found = summarise(ledgers[name].net_returns(), periods_per_year=252)
        assert page.row("Sharpe")[column] == f"{found['sharpe']:.2f}".replace("-", "−")
        assert page.row("Volatility")[column].replace("\xa0", " ") == f"{found['volatility']:.2%}".replace("%", " %")
    assert page.row("Beta")[-1] == "1.00"
    assert [row[0] for row in page.rows if row[0].endswith(" error")] == ["Tracking error"]  # intervals say the others
    assert " to " in page.row("Sharpe")[3]
    assert page.row("Expected shortfall, 95 %")


def test_months_and_years_compound_to_the_whole(tables: dict[str, pl.DataFrame], ledgers: dict[str, Ledger]) -> None:
    whole = np.prod(1.0 + ledgers["mine"].net_returns())
    assert float(tables["equity"]["mine"][-1]) == pytest.approx(whole)
    assert np.prod(1.0 + tables["months"]["return"].to_numpy()) == pytest.approx(whole)
    assert np.prod(1.0 + tables["years"]["mine"].to_numpy()) == pytest.approx(whole)
    assert tables["years"]["bars"].sum() == BARS - DECIDED - 1
    assert tables["months"].row(0)[:2] == (2021, 5)


def test_costs_by_kind_are_what_the_ledger_paid(tables: dict[str, pl.DataFrame], ledgers: dict[str, Ledger]) -> None:
    paid = tables["paid"].filter(pl.col("strategy") == "mine")
    assert paid["paid"].sum() == pytest.approx(ledgers["mine"].costs.sum())
    fees, spread = paid["paid"][:2]
    assert spread == pytest.approx(1.5 * fees)
    assert tables["years"]["turnover"].sum() == pytest.approx(ledgers["mine"].turnover[DECIDED + 2 :].sum())


def test_long_gross_and_net_are_lines_of_their_own_and_never_stacked() -> None:
    table = pl.DataFrame({"time": [datetime(2024, 1, day) for day in range(1, 9)], "long": 1.0, "gross": 1.0})
    assert [trace.stackgroup for trace in draw_areas(table, y="share", parts=False).data] == [None, None]
    assert [trace.stackgroup for trace in draw_areas(table, y="share").data] == ["one", "one"]


def test_exposures_are_the_weights_of_their_groups_and_sum_to_all_with_cash(tables: dict[str, pl.DataFrame]) -> None:
    weights, exposures = tables["weights"], tables["exposures"]
    assert exposures.columns == ["time", "Banks", "Energy", "no group", "cash (rest)"]
    assert exposures["Energy"].to_numpy() == pytest.approx((weights["A"] + weights["B"]).to_numpy())
    assert exposures[:, 1:].sum_horizontal().to_numpy() == pytest.approx(np.ones(len(exposures)))
    assert "time " in weights.columns  # an asset of that name hides no times


def test_contributions_sum_to_the_variance_and_to_the_mean_return(
    tables: dict[str, pl.DataFrame], ledgers: dict[str, Ledger]
) -> None:
    table = tables["contributions"]
    assert table["risk"].sum() == pytest.approx(1.0)
    assert table["return"].sum() == pytest.approx(252 * ledgers["mine"].net_returns().mean())
    assert abs(table["risk"][-1]) < 0.02  # what is left for costs is small
    held = tables["weights"]["A"].to_numpy()[:-1] * (PRICES[DECIDED + 1 :, 0] / PRICES[DECIDED:-1, 0] - 1.0)
    assert table["return"][0] == pytest.approx(252 * held.mean())
    assert table["asset"].to_list() == [*NAMES, "cash, costs, trades"]


def test_a_split_adds_nothing_to_an_assets_contribution(ledgers: dict[str, Ledger]) -> None:
    prices, splits = PRICES.copy(), np.ones((BARS, ASSETS))
    prices[300:, 0] /= 2.0
    splits[300, 0] = 2.0
    asked = np.full((BARS, ASSETS), np.nan)
    asked[DECIDED::21] = 1 / ASSETS
    halved = backtest_weights(
        asked, prices, times=TIMES, assets=NAMES, costs=COSTS, actions=Actions(splits=splits)
    )  # fmt: skip
    one, other = (collect_tables(read(ledger))["contributions"] for ledger in (ledgers["equal weight"], halved))
    for column in ("return", "risk", "mean weight"):
        assert other[column].to_numpy() == pytest.approx(one[column].to_numpy(), abs=1e-12)


def test_the_deepest_drawdowns_are_dated(
    tables: dict[str, pl.DataFrame], ledgers: dict[str, Ledger], page: Page
) -> None:
    table = tables["deepest drawdowns"]
    found = sorted(list_drawdowns(ledgers["mine"].net_returns()), key=lambda one: -one.depth)[:5]
    assert table["depth"].to_list() == pytest.approx([one.depth for one in found])
    worst = found[0]
    assert table["peak"][0].date() == TIMES[DECIDED + worst.peak].item()
    assert table["trough"][0].date() == TIMES[DECIDED + worst.trough].item()
    assert ("not yet" in page.sections["growth"]) == any(one.recovered is None for one in found)


def test_rolled_figures_are_those_of_each_window() -> None:
    ours, theirs = DRAW.normal(0.001, 0.01, (2, 90))
    for row, at in ((0, 30), (60, 90)):
        part, other = ours[at - 30 : at], theirs[at - 30 : at]
        assert roll_sharpe(ours, window=30)[row] == pytest.approx(part.mean() / part.std(ddof=1))
        slope = np.cov(part, other)[0, 1] / np.var(other, ddof=1)
        assert roll_beta(ours, theirs, window=30)[row] == pytest.approx(slope)
    assert np.isnan(roll_sharpe(np.full(40, 0.01), window=30)).all()


def test_value_at_risk_knows_only_the_bars_before(tables: dict[str, pl.DataFrame], ledgers: dict[str, Ledger]) -> None:
    table, returns = tables["value at risk"], ledgers["mine"].net_returns()
    assert len(table) == returns.size - 250
    for row in (0, 77, len(table) - 1):
        assert table["value at risk"][row] == -np.sort(returns[row : row + 250])[12]  # the 13th of 250
        assert table["return"][row] == returns[row + 250]
    assert table["exception"].to_list() == (table["return"] < -table["value at risk"]).to_list()
    assert (table["expected shortfall"] >= table["value at risk"]).all()


def test_another_value_at_risk_may_be_asked_for(ledgers: dict[str, Ledger], page: Page, tmp_path: Path) -> None:
    path = tw.write_tear_sheet(
        tmp_path / "a.html", ledger=ledgers["mine"], periods_per_year=252, var_method="normal", data=False
    )
    other = read_page(path.read_text())
    assert "Value at risk is normal at 95\N{NO-BREAK SPACE}%" in other.sections["assumptions"]
    assert "Value at risk is historical at 95\N{NO-BREAK SPACE}%" in page.sections["assumptions"]
    assert "Kupiec" in other.sections["risk"]
    one, two = (p.figures["value-at-risk"]["data"][1]["y"]["bdata"] for p in (page, other))
    assert one != two


def test_luck_is_told_with_what_was_tried(page: Page, ledgers: dict[str, Ledger]) -> None:
    sample = sample_sharpe(ledgers["mine"].net_returns())
    found = deflated_sharpe(sample, trials=40, trial_variance=1.0 / (sample.periods - 1))
    told = page.sections["luck"].replace("\xa0", " ")
    assert f"{100 * found.probability:.1f} %" in told
    assert "best of 40" in told
    assert "31 %" in told
    assert "Minimum track record" in told


def test_trials_that_are_not_told_are_said_to_be_unknown(ledgers: dict[str, Ledger], tmp_path: Path) -> None:
    path = tw.write_tear_sheet(tmp_path / "a.html", ledger=ledgers["mine"], periods_per_year=252, data=False)
    page = read_page(path.read_text())
    assert "is not known" in page.sections["luck"]
    assert "Pass trials= or study=" in page.sections["luck"]
    assert "No benchmark was given" in page.sections["time"]
    assert "not by sector" in page.sections["holdings"]
    assert "rates were not told" in page.sections["assumptions"]
    assert [one.name for one in tmp_path.iterdir()] == ["a.html"]


def test_the_margin_over_each_floor_is_told_with_its_error(
    tables: dict[str, pl.DataFrame], ledgers: dict[str, Ledger], page: Page
) -> None:
    table = tables["margins"]
    assert table["against"].to_list() == ["equal weight", "index"]
    ours, floor = (summarise(ledgers[name].net_returns(), periods_per_year=252) for name in ("mine", "equal weight"))
    assert table["sharpe"][0] == pytest.approx(ours["sharpe"] - floor["sharpe"])
    assert table["return"][0] == pytest.approx(ours["mean_return"] - floor["mean_return"])
    assert (table["sharpe low"] < table["sharpe"]).all()
    assert (table["sharpe"] < table["sharpe high"]).all()
    assert "not told apart from that of equal weight" in page.text
    apart = ledgers["mine"].net_returns() - ledgers["equal weight"].net_returns()
    error = 252 * apart.std() / math.sqrt(apart.size)
    assert table["return high"][0] - table["return low"][0] == pytest.approx(2 * 1.645 * error, rel=0.35)


def test_a_strategy_that_only_pays_more_is_worse_than_its_floor(ledgers: dict[str, Ledger]) -> None:
    floor = ledgers["equal weight"]
    drained = replace(floor, equity=floor.equity * 0.999 ** np.arange(BARS))
    table = table_margins(read({"mine": drained, "floor": floor}, benchmark=None))
    assert table is not None
    assert judge(table.row(0, named=True)) == "worse"
    assert tell_margins(table) == "Its Sharpe ratio is worse than that of floor at 90\N{NO-BREAK SPACE}%."
    assert table_margins(read(floor, benchmark=None)) is None


def test_a_study_counts_and_lists_its_trials(ledgers: dict[str, Ledger], tmp_path: Path) -> None:
    tried = make_tried()
    path = tw.write_tear_sheet(tmp_path / "a.html", ledger=ledgers["mine"], periods_per_year=252, study=tried)
    page = read_page(path.read_text())
    assert f"best of {len(tried.trials)}" in page.sections["luck"]
    assert "The trial ledger" in page.sections["luck"]
    assert json.loads((tmp_path / "a_data" / "sheet.json").read_text())["luck"]["trials"] == len(tried.trials)


def test_every_picture_is_there_as_data(path: Path, page: Page) -> None:
    folder = path.parent / "sheet_data"
    facts = json.loads((folder / "sheet.json").read_text())
    assert {name.replace(" ", "-") for name in facts["tables"]} >= set(page.figures) - {"turnover"}  # it is with costs
    for known in facts["tables"].values():
        table = pl.read_parquet(folder / known["parquet"])
        rows = json.loads((folder / known["json"]).read_text())
        assert (len(table), table.columns) == (len(rows), known["columns"]) == (known["rows"], [*rows[0]])
    values = pl.read_parquet(folder / "equity.parquet")["mine"].to_list()
    assert [row["mine"] for row in json.loads((folder / "equity.json").read_text())] == pytest.approx(values)


def test_long_and_short_positions_are_drawn_as_lines_and_borrowing_is_a_cost(tmp_path: Path) -> None:
    short = run(np.array([0.6, 0.5, -0.3, 0.4, -0.2, 0.0]), allow_short=True, max_gross=2.5)
    short = replace(short, borrow=np.full(BARS, 10.0))
    path = tw.write_tear_sheet(tmp_path / "a.html", ledger=short, costs=COSTS, periods_per_year=252)
    page = read_page(path.read_text())
    named = {trace["name"] for trace in page.figures["exposures"]["data"]}
    assert named == {"long", "short", "gross", "net"}
    assert not any("stackgroup" in trace for trace in page.figures["weights"]["data"])
    assert "borrowing" in {trace["name"] for trace in page.figures["costs"]["data"]}
    assert "a short position pays 50 bps a year" in page.sections["assumptions"]
    figures = short.summary(periods_per_year=252)
    with_borrowing = figures["cost_drag"] * (1.0 + 10.0 * figures["periods"] / figures["costs"])
    assert f"paid {write_percent(with_borrowing, decimals=2)} of it a year" in page.sections["trading"]


def test_a_page_of_many_bars_and_assets_stays_small(tmp_path: Path) -> None:
    bars, assets = 3000, 60
    prices = 100.0 * np.cumprod(1.0 + DRAW.normal(4e-4, 0.01, (bars, assets)), axis=0)
    targets = np.full((bars, assets), np.nan)
    targets[100::63] = DRAW.dirichlet(np.ones(assets), len(targets[100::63]))
    names = [f"asset {k}" for k in range(assets)]
    times = np.datetime64("2001-01-01") + np.arange(bars)
    ledger = backtest_weights(targets, prices, times=times, assets=names, costs=COSTS)
    path = tw.write_tear_sheet(
        tmp_path / "a.html", ledger=ledger, benchmark=prices[:, 0], periods_per_year=252, data=False
    )
    assert path.stat().st_size - len(get_plotlyjs().encode()) < 180_000
    page = read_page(path.read_text())
    assert len(page.figures["weights"]["data"]) <= 12
    assert "50 others" in {trace["name"] for trace in page.figures["weights"]["data"]}
    line = page.figures["equity"]["data"][0]["y"]
    assert len(line["bdata"]) <= 4 * 4 * (POINTS + 2) / 3 + 4


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"benchmark": MARKET[1:]}, AllocationError, "one level above zero"),
        ({"benchmark": np.where(np.arange(BARS) == 9, math.nan, MARKET)}, AllocationError, "Fill what is missing"),
        ({"benchmark_name": "mine"}, ConfigError, "both called 'mine'"),
        ({"groups": {"Z": "Energy"}}, AllocationError, "'Z', which is no asset"),
        ({"window": 5}, ConfigError, "from 10 to 578"),
    ],
)
def test_what_does_not_fit_is_refused(ledgers: dict[str, Ledger], more: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        read(ledgers, **more)


def test_ledgers_of_other_bars_or_hardly_any_are_refused(ledgers: dict[str, Ledger]) -> None:
    asked = np.full((100, ASSETS), 1 / ASSETS)
    short = backtest_weights(asked, PRICES[:100], times=TIMES[:100], assets=NAMES, costs=COSTS)
    with pytest.raises(AllocationError, match="not those of the strategy"):
        read({"mine": ledgers["mine"], "floor": short})
    with pytest.raises(AllocationError, match="a tear sheet needs 30"):
        read(run(np.full(ASSETS, 1 / ASSETS), first=BARS - 20))
    with pytest.raises(AllocationError, match="there is no ledger"):
        read({})


def test_something_else_than_a_ledger_says_what_to_bring(ledgers: dict[str, Ledger]) -> None:
    with pytest.raises(AllocationError, match="'floor' is a ndarray and no Ledger"):
        read({"mine": ledgers["mine"], "floor": PRICES})
    with pytest.raises(AllocationError, match="'strategy' is a ndarray"):
        read(PRICES)


def test_an_account_that_was_closed_lost_all_and_says_so(tmp_path: Path) -> None:
    rising = PRICES.copy()
    rising[:, 0] = 100.0 * 1.03 ** np.maximum(np.arange(BARS) - 200, 0)
    asked = np.full((BARS, ASSETS), np.nan)
    asked[DECIDED] = [-0.9, 0.5, 0.5, 0.5, 0.4, 0.0]
    ledger = backtest_weights(
        asked, rising, times=TIMES, assets=NAMES, costs=COSTS, allow_short=True, max_gross=4.0
    )  # fmt: skip
    assert ledger.ended is not None
    path = tw.write_tear_sheet(tmp_path / "a.html", ledger=ledger, costs=COSTS, periods_per_year=252, data=False)
    page = read_page(path.read_text())
    assert page.row("Deepest drawdown")[2].replace("\xa0", " ") == "100.00 %"
    assert "after its account was closed" in page.sections["assumptions"]


def test_cash_dividends_and_what_was_not_filled_are_told(ledgers: dict[str, Ledger], tmp_path: Path) -> None:
    paid = replace(
        ledgers["mine"], interest=np.full(BARS, 2.0), dividends=np.full(BARS, 3.0), unfilled=np.full(BARS, -1.0)
    )
    told = [
        read_page(
            tw.write_tear_sheet(tmp_path / "a.html", ledger=one, periods_per_year=252, data=False).read_text()
        ).sections["assumptions"]
        for one in (paid, ledgers["mine"])
    ]
    assert "Cash earned 1,280 in all." in told[0]
    assert "counts what cash earned as the strategy" in told[0]
    assert "counts what cash earned" not in told[1]
    assert "Dividends of 1,920 in all" in told[0]
    assert "Orders worth 640 in all were not filled" in told[0]
    assert "Cash earns nothing." in told[1]
    assert "No dividend was booked" in told[1]


def test_strategies_that_begin_at_other_bars_are_shown_from_the_last_one_on(ledgers: dict[str, Ledger]) -> None:
    sheet = read({"mine": ledgers["mine"], "late": run(np.full(ASSETS, 1 / ASSETS), first=300)})
    assert sheet.times.size == BARS - 301
    assert "mine had traded before" in sheet.notes[0]
