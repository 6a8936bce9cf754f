"""How often `tw.monitor` alarms where nothing changed, and how often where something did.

Worlds of four series and a covariate, each an autoregression of the first order around a daily wave: 60 days of hours
that a small LightGBM learned from and was chosen on, and three looks with the default options, each at the next two
weeks. The share of looks with any alarm is held against the 5 % that are promised; in further worlds all that is live
of the target, or of the covariate, is half a standard deviation or a whole one higher. Then real data: a LightGBM on
ETTh1 and on weekly sales of Walmart, each block after what it learned from in turn; there nobody knows whether
something changed, so the same is done with whole weeks of the data in random order, where nothing can have. Ratio is
ours / theirs.

    python benchmarks/drift.py [--worlds 200] [--cases ar real] [--out benchmarks/results/drift.jsonl]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tell import keep, make_line, open_parser

import tidewright as tw
from tidewright.features.view import View

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
START = datetime(2024, 1, 1)
DAY, DAYS, LIVE, LOOKS = 24, 60, 14, 3
PROMISED = 0.05
PHIS = (0.0, 0.5, 0.9, 0.97)
SHIFTS = (0.5, 1.0)


def main() -> None:
    """Prints a line a case."""
    parser = open_parser(__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--cases", nargs="+", default=["still", "moved", "real"], choices=["still", "moved", "real"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # what fits say of small worlds
    cases = {"still": still(options.worlds), "moved": moved(options.worlds // 4), "real": real(options.worlds * 2 // 5)}
    for case in options.cases:
        for line in cases[case]:
            keep(line, out=options.out)


def still(worlds: int) -> Iterator[dict[str, Any]]:
    """Worlds in which nothing changes."""
    for phi in PHIS:
        looks = [look(world(seed, phi=phi)) for seed in range(worlds)]
        yield tell_looks(f"no drift, autocorrelation {phi}: looks with an alarm", looks)


def moved(worlds: int) -> Iterator[dict[str, Any]]:
    """Worlds in which a level changes: how many looks tell of that column."""
    for phi in PHIS[1:3]:
        for shift in SHIFTS:
            for column in ("sold", "temp"):
                given = {"shift": shift, "column": column, "phi": phi}
                looks = [look(world(1000 + seed, **given)) for seed in range(worlds)]
                name = f"{column} {shift} standard deviations higher, autocorrelation {phi}: looks that name it"
                yield tell_looks(name, looks, column=column)


def tell_looks(name: str, worlds: list[list[Any]], *, column: str = "") -> dict[str, Any]:
    """The share of looks with an alarm, or with one of a column (the target's own: its predictions and errors too)."""
    looks = [one for each in worlds for one in each]
    kinds = Counter(kind for one in looks for kind in {f"{alert.kind} {alert.test}" for alert in one.alerts})
    shares = [
        np.mean([any(not column or alert.column == column for alert in one.alerts) for one in each]) for each in worlds
    ]
    error = float(np.std(shares) / np.sqrt(len(shares)))
    made = np.mean([[check.test.p_value is not None for check in one.checks] for one in looks])
    blind = np.mean([any(check.note for check in one.checks) for one in looks])
    told = ", ".join(f"{kind} {count / len(looks):.1%}" for kind, count in sorted(kinds.items())) or "none"
    note = f"+- {error:.1%}; by test: {told}; tests that could be made {made:.0%}, looks with a remark {blind:.0%}"
    return make_line(name, float(np.mean(shares)), PROMISED, unit="share of looks", n=len(looks), note=note)


def world(seed: int, *, phi: float, shift: float = 0.0, column: str = "") -> pl.DataFrame:
    """Four series; the marginal deviation of a column is that of its own wave and noise together."""
    rng, hours = np.random.default_rng(seed), DAY * (DAYS + LIVE * LOOKS)
    late = np.arange(hours) >= DAY * DAYS
    wave = np.sin(2 * np.pi * np.arange(hours) / DAY)
    parts = []
    for number in range(4):
        noise, temp = follow(rng, hours, phi), follow(rng, hours, phi)
        sold = wave + noise + 0.3 * temp + shift * late * (column == "sold") * np.sqrt(0.5 + 1 + 0.09)
        temp = temp + shift * late * (column == "temp")
        times = [START + timedelta(hours=hour) for hour in range(hours)]
        name = [f"s{number}"] * hours
        parts.append(pl.DataFrame({"shop": name, "hour": times, "sold": 50 + 10 * sold, "temp": temp}))
    return pl.concat(parts)


def follow(rng: np.random.Generator, count: int, phi: float) -> np.ndarray:
    """A stationary autoregression of deviation 1."""
    from scipy.signal import lfilter

    noise = rng.normal(size=count + 500) * np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise))[500:]


def look(table: pl.DataFrame) -> list[Any]:
    """A model of what is not live, and a look at each two weeks after it."""
    ends = [START + timedelta(days=DAYS + LIVE * number) for number in range(LOOKS + 1)]
    known = table.filter(pl.col("hour") < ends[0])
    panel = tw.Panel.from_table(known, series="shop", time="hour", target="sold", known=["temp"])
    with tempfile.TemporaryDirectory() as folder:
        bundle = learn(panel, tw.Task(horizon=6), validation=DAY * 14, folder=Path(folder) / "model")
        return [
            tw.monitor(bundle, table.filter(pl.col("hour") < until), since=str(since - timedelta(hours=1)))
            for since, until in pairwise(ends)
        ]


def learn(panel: Any, task: Any, *, validation: int, folder: Path) -> Any:
    """The bundle of a small LightGBM; how well it learned does not matter here."""
    split = tw.split_holdout(panel, task, validation=validation, test=task.horizon)
    spec = tw.build_spec("lightgbm", {"rounds": 5, "leaves": 7})
    fitted = tw.fit(spec, panel=panel, split=split, task=task, view=View(24))
    return tw.save_bundle(fitted, panel=panel, folder=folder, split=split)


def real(worlds: int) -> Iterator[dict[str, Any]]:
    """Looks at real data as they came, and with their weeks in random order."""
    for name, read, known, live, week in (
        ("ETTh1", read_ett, 7 * DAY * 26, 7 * DAY * 2, 7 * DAY),
        ("Walmart", read_walmart, 104, 13, 1),
    ):
        table, roles = read()
        times = table["time"].unique().sort()
        starts = range(known, len(times) - live + 1, live)
        looks = [[look_once(table, times, start - known, known, live, roles) for start in starts]]
        yield tell_looks(f"{name} as it came: looks with an alarm", looks)
        looks = []
        for seed in range(worlds):
            mixed = shuffle(table, times, np.random.default_rng(seed), week)
            looks.append([look_once(mixed, times, 0, known, live, roles)])
        yield tell_looks(f"{name}, weeks in random order: looks with an alarm", looks)


def look_once(table: Any, times: Any, start: int, known: int, live: int, roles: dict[str, Any]) -> Any:
    """A model of `known` steps from a start, and a look at the `live` ones after them."""
    ends = [times[start], times[start + known], times[min(start + known + live, len(times)) - 1]]
    mine = table.filter(pl.col("time").is_between(ends[0], ends[2]))
    panel = tw.Panel.from_table(mine.filter(pl.col("time") < ends[1]), **roles)
    task = tw.Task(horizon=6 if known > 1000 else 4)
    with tempfile.TemporaryDirectory() as folder:
        validation = max(known // 5, 2 * task.horizon)
        return tw.monitor(learn(panel, task, validation=validation, folder=Path(folder) / "model"), mine)


def shuffle(table: Any, times: Any, rng: np.random.Generator, week: int) -> Any:
    """The rows with whole weeks of times drawn in another order; what is left of a week at the end goes."""
    count = len(times) // week
    moved = (rng.permutation(count)[:, None] * week + np.arange(week)).reshape(-1)
    there = pl.DataFrame({"time": times.gather(moved.tolist()), "place": times.head(count * week)})
    return table.join(there, on="time").drop("time").rename({"place": "time"})


def read_ett() -> tuple[Any, dict[str, Any]]:
    """The oil's temperature with six loads."""
    table = pl.read_csv(DATA / "ett" / "ETTh1.csv", try_parse_dates=True).rename({"date": "time"})
    past = [name for name in table.columns if name not in ("time", "OT")]
    return table, {"time": "time", "target": "OT", "past": past}


def read_walmart() -> tuple[Any, dict[str, Any]]:
    """Every fortieth department of all 143 weeks."""
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") == 143)
    name, time = pl.format("{} {}", "Store", "Dept"), pl.col("Date").str.to_date()
    table = raw.select(name.alias("series"), time.alias("time"), pl.col("Weekly_Sales").alias("sold"))
    kept = table["series"].unique().sort().gather_every(40)
    table = table.filter(pl.col("series").is_in(kept.implode()))
    return table, {"series": "series", "time": "time", "target": "sold", "frequency": "1w"}


if __name__ == "__main__":
    main()
