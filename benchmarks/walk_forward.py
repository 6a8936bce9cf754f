"""What a whole walk-forward finds on 88 US stocks (stocknet): rank IC, Sharpe ratio after costs, and what luck leaves.

Trained to June 2015, validated to June 2016, tested from July 2016 to August 2017, each date from what was known then:
a horizon of 1 or 5 days and a decision as often, by HRP from the 252 returns before, filled at the next close, a fee of
1 bp and half a spread of 2 bps.
Cases: "returns" (models see returns alone), "indicators" (with RSI, MACD over the price,
Bollinger position, volatility and volume as well), each refitted every 63 days ("walked") or never ("held"), and
"searched" (20 trials of LightGBM and the elastic net at the first refit and after a year). A line of rank IC has the
model's mean and its best floor's; one of the Sharpe ratio the rule's with forecasts and without. The stocks were chosen
by their owners with hindsight, so that every level of return is too good; differences are not.

    python benchmarks/walk_forward.py [--cases returns-walked] [--horizons 5] [--out FILE]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from tell import keep, make_line, open_parser

import tidewright as tw
from tidewright.data.market import to_returns

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "stocknet" / "prices.parquet"
CASES = {
    "returns-held": {"refit_every": 1000},
    "returns-walked": {"refit_every": 63},
    "indicators-walked": {"refit_every": 63},
    "indicators-searched": {"refit_every": 63, "retune_every": 252},
}
INDICATORS = ("rsi:14", "rsi:5", "volatility:20")
PEER = 0.0064  # a peer's LightGBM on Alpha158 features, its rank IC a day ahead on the same test: not run here
FIRST = "2016-06-30"


def main() -> None:
    """Prints the lines of each case as it is walked."""
    parser = open_parser(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--horizons", nargs="+", type=int, default=[1, 5])
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what fits say of gaps
    for case in options.cases:
        for horizon in options.horizons:
            for line in walk(case, horizon):
                keep(line, out=options.out)


def read_prices(*, indicators: bool) -> tuple[tw.Panel, tw.Panel]:
    """Prices adjusted for splits and dividends, and returns with what else models may see."""
    table = pl.read_parquet(DATA).with_columns(pl.col("Date").str.to_date()).filter(pl.col("Adj Close").is_not_null())
    price = pl.col("Adj Close")
    table = table.sort("symbol", "Date").select(
        pl.col("symbol").alias("stock"),
        pl.col("Date").alias("date"),
        price.alias("price"),
        (price / price.rolling_mean(20).over("symbol") - 1.0).alias("over_mean20"),
        ((price.ewm_mean(span=12) - price.ewm_mean(span=26)).over("symbol") / price).alias("macd"),
        ((price - price.rolling_mean(20)) / price.rolling_std(20)).over("symbol").alias("bollinger"),
        (pl.col("Volume") / pl.col("Volume").rolling_mean(20).over("symbol")).alias("volume"),
    )
    prices = tw.Panel.from_table(
        table, series="stock", time="date", target="price", calendar="XNYS",
        past=["over_mean20", "macd", "bollinger", "volume"] if indicators else [],
    )  # fmt: skip
    plain = replace(prices, roles=replace(prices.roles, past=()))
    return plain, to_returns(tw.add_technical(prices, INDICATORS) if indicators else prices)


def walk(case: str, horizon: int) -> Iterator[dict[str, Any]]:
    """The lines of one walk."""
    prices, panel = read_prices(indicators=case.startswith("indicators"))
    started = time.process_time()
    made = tw.walk_forward(
        prices, panel=panel, first=FIRST, horizon=horizon, validation=252, decide_every=horizon, lookback=252,
        models={"lightgbm": {}, "elastic_net": {}}, folder=None, tell=lambda text: print(text, file=sys.stderr),
        **CASES[case],
    )  # fmt: skip
    spent = time.process_time() - started
    for one in made.refits:
        print(one.board.reason, file=sys.stderr)
    beat = sum(one.winner is not None for one in made.refits)
    told = f"{horizon} days ahead, {case}"
    floor = made.refits[-1].board.best_floor
    for model in ("lightgbm", "elastic_net"):
        skill = made.skill(model)
        note = (
            f"+- {skill.error:.4f}, t {skill.statistic:.2f} over {skill.count} dates; the floor is {floor}, "
            f"+- {skill.floor_error:.4f}; beat its floor on validation in {beat} of {len(made.refits)} refits; "
            f"{spent:.0f} CPU s"
        )
        if horizon == 1:
            note += f"; a peer's LightGBM on Alpha158 features, not run here: {PEER}"
        name = f"rank IC of {model} vs its best floor, {told}"
        yield make_line(name, skill.mean, skill.floor_mean, unit="rank IC", n=skill.count, note=note)
    summaries = {one.name: one for one in made.strategies}
    equal, plain, tilted = summaries["equal weight"], summaries["hrp"], summaries["hrp + forecast"]
    for one, other in ((tilted, plain), (plain, equal)):
        deflated = one.deflated.probability if one.deflated else float("nan")
        gained = tw.summarise(
            one.ledger.net_returns(), benchmark=other.ledger.net_returns(), periods_per_year=made.periods_per_year,
            intervals=0.95, seed=0,
        ) if one.summary["sharpe"] != other.summary["sharpe"] else None  # fmt: skip
        beyond = "" if gained is None else f"; information ratio {describe(gained, 'information_ratio')}"
        yield make_line(
            f"Sharpe ratio of {one.name} vs {other.name}, {told}", one.summary["sharpe"], other.summary["sharpe"],
            unit="a year, after costs", n=len(one.ledger.net_returns()),
            note=f"deflated for {made.trials} trials {deflated:.2f}; turnover {one.summary['turnover']:.1f}, costs "
            f"{one.summary['cost_drag']:.2%} a year{beyond}",
        )  # fmt: skip


def describe(summary: Any, name: str) -> str:
    """A figure with its interval."""
    interval = summary.intervals[name]
    return f"{summary.values[name]:.2f} ({interval.low:.2f} to {interval.high:.2f})"


if __name__ == "__main__":
    main()
