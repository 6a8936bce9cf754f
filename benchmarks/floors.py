"""The floors on ETTh1, M4 Hourly and Walmart, beside published and measured rows, by the boards' own
protocols.

    python benchmarks/floors.py            # needs the real data in ../shared/data; prints one JSON line a
    comparison

Everything is chosen on validation inside the training part; the test is scored once. `theirs` is the row of the board
that the name tells; `n` is the number of scored windows. Lower is better everywhere. One JSON line a comparison goes to
stdout and to benchmarks/results/floors.jsonl.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from tell import tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # after the thread counts
import polars as pl

from tidewright.data.layout import melt_columns, melt_rows
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout, split_rolling
from tidewright.data.task import Task
from tidewright.features.windows import cut_windows, make_windows
from tidewright.metrics.accuracy import Scored, owa, past_scale, score
from tidewright.models.fit_floors import fit_floor
from tidewright.models.floors import Floor, FloorSpec
from tidewright.models.spec import Damped, Naive, Ridge, SeasonalNaive

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RUNS = 3  # fits of each floor, for the median CPU time
RESULTS = Path(__file__).resolve().parent / "results" / "floors.jsonl"

SEASONAL = "seasonal-24"
ETTH1 = {  # row: (MSE, MAE) at each horizon, as the papers and their comparisons print them
    SEASONAL: {96: (0.512, 0.433), 192: (0.581, 0.469), 336: (0.650, 0.501), 720: (0.655, 0.514)},
    "closed-form ridge": {96: (0.370, 0.391), 192: (0.403, 0.411), 336: (0.426, 0.425), 720: (0.422, 0.443)},
    "DLinear": {96: (0.375, 0.399), 192: (0.405, 0.416), 336: (0.439, 0.443), 720: (0.472, 0.490)},
    "PatchTST/64": {96: (0.370, 0.400), 192: (0.413, 0.429), 336: (0.422, 0.440), 720: (0.447, 0.468)},
}
M4 = {  # row: (sMAPE, MASE, OWA)
    "seasonal naive": (13.912, 1.193, 0.6275),
    "pooled ridge, lookback 504": (13.76, 1.156, 0.6155),
    "mlforecast + LightGBM": (12.39, 1.238, 0.595),
}
WALMART = {  # row: (MASE, WAPE)
    "naive": (1.524, 0.1967),
    "seasonal naive 52": (1.020, 0.1132),
    "seasonal naive 52 times a damped level": (0.960, 0.1044),
    "LightGBM as published": (1.246, 0.151),
}

Line = dict[str, Any]


def main() -> None:
    """Prints every comparison and keeps them in benchmarks/results/floors.jsonl."""
    if not DATA.is_dir():
        sys.exit(f"the real data are not on this machine: there is no {DATA.name} folder beside the project.")
    tell(chain(etth1(), m4_hourly(), walmart()), out=RESULTS)


def etth1() -> Iterator[Line]:
    """Long-horizon forecasting: 7 channels standardised on training, stride 1, no window dropped."""
    wide = pl.read_csv(DATA / "ett" / "ETTh1.csv").head(14_400)
    wide = wide.with_columns(pl.col("date").str.to_datetime())
    train = wide.head(8640)
    standard = [(pl.col(c) - train[c].mean()) / train[c].std(ddof=0) for c in wide.columns[1:]]
    long = melt_columns(wide.with_columns(standard), time="date")
    panel = Panel.from_table(long, series="series", time="date", target="value")
    entries: list[tuple[FloorSpec, list[str]]] = [
        (SeasonalNaive(period=24), [SEASONAL]),
        (Ridge(), [row for row in ETTH1 if row != SEASONAL]),
    ]
    for horizon in ETTH1[SEASONAL]:
        task = Task(horizon=horizon)
        split = split_holdout(panel, task, validation=2880, test=2880, stride=1)
        assert split.test is not None
        for spec, rows in entries:
            floor, cpu = fit(spec, panel, split=split, task=task)
            windows = cut_windows(panel, floor.view, horizon=horizon, cutoffs=split.test, least=1)
            found = score(Scored(windows.labels(), floor.predict(windows)[:, :, task.median]), ["mse", "mae"])
            for row, metric in ((row, metric) for row in rows for metric in ("mse", "mae")):
                theirs = ETTH1[row][horizon][("mse", "mae").index(metric)]
                name = f"ETTh1 horizon {horizon} {metric.upper()}: {spec.name} vs {row}"
                yield compare(
                    name, found[metric], theirs, unit=metric.upper(), n=len(windows), note=explain(floor, cpu)
                )
            if spec.name == "ridge":
                name = f"ETTh1 horizon {horizon} fit: ridge vs a CPU second"
                note = "theirs is the budget; one thread, every candidate's choice on validation included"
                yield compare(name, cpu, 1.0, unit="CPU s", n=RUNS, note=note)


def m4_hourly() -> Iterator[Line]:
    """The competition's test: sMAPE in percent, MASE with lag 24, OWA against the official Naive2."""
    past, future = (melt_rows(read_m4(name), series="V1") for name in ("Hourly-train.csv.gz", "Hourly-test.csv"))
    both = pl.concat([past, future.with_columns(pl.col("step") + past["step"].max())])
    panel = Panel.from_table(both, series="V1", time="step", target="value")
    entries: list[tuple[FloorSpec, list[str]]] = [
        (SeasonalNaive(period=24), ["seasonal naive"]),
        (Ridge(), [row for row in M4 if row != "seasonal naive"]),
    ]
    for spec, rows in entries:
        scored, note = score_last(panel, spec, horizon=48, lag=24, season=24)
        found = score(scored, ["smape", "mase"])
        smape, mase = 100 * found["smape"], found["mase"]
        ours = (smape, mase, owa(smape, mase, smape_naive2=18.383, mase_naive2=2.395))
        for row in rows:
            for metric, mine, theirs in zip(("sMAPE", "MASE", "OWA"), ours, M4[row], strict=True):
                yield compare(
                    f"M4 Hourly {metric}: {spec.name} vs {row}",
                    mine,
                    theirs,
                    unit=metric,
                    n=len(scored.actual),
                    note=note,
                )


def read_m4(name: str) -> pl.DataFrame:
    """A wide table, one series a row, as text: `melt_rows` reads the numbers."""
    return pl.read_csv(DATA / "m4_hourly" / name, infer_schema=False)


def walmart() -> Iterator[Line]:
    """Store and department series with 79 weeks at least; the last 39 weeks of each are its test."""
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 79)
    table = raw.select(
        pl.format("{} {}", "Store", "Dept").alias("series"), pl.col("Date").str.to_date(), pl.col("Weekly_Sales")
    )
    panel = Panel.from_table(table, series="series", time="Date", target="Weekly_Sales", frequency="1w")
    entries: list[tuple[FloorSpec, list[str]]] = [
        (Naive(), ["naive"]),
        (SeasonalNaive(period=52), ["seasonal naive 52"]),
        (Damped(period=52), ["seasonal naive 52 times a damped level", "LightGBM as published"]),
    ]
    for spec, rows in entries:
        scored, note = score_last(panel, spec, horizon=39, lag=1, season=52)
        found = score(scored, ["mase", "wape"])
        for row in rows:
            for metric, theirs in zip(("mase", "wape"), WALMART[row], strict=True):
                name = f"Walmart {metric.upper()}: {spec.name} vs {row}"
                yield compare(name, found[metric], theirs, unit=metric.upper(), n=len(scored.actual), note=note)


def score_last(panel: Panel, spec: FloorSpec, *, horizon: int, lag: int, season: int) -> tuple[Scored, str]:
    """The last `horizon` rows of each series forecast by a floor that was fitted on the rows before them."""
    rows = panel.offsets[1:] - 1 - horizon
    roles = panel.roles
    before = panel.table.filter(pl.Series(np.arange(len(panel.table)) <= rows[panel.codes]))
    past = Panel.from_table(
        before, series=roles.series, time=roles.time, target=roles.target, frequency=panel.frequency.name
    )
    task = Task(horizon=horizon)
    split = split_rolling(past, task, folds=1)[0]
    floor, cpu = fit(spec, past, split=split, task=task, season=season)
    windows = make_windows(panel, floor.view, horizon=horizon, rows=rows)
    scale = past_scale(panel.target, offsets=panel.offsets, season=lag, series=windows.series, ends=rows + 1)
    return Scored(windows.labels(), floor.predict(windows)[:, :, task.median], scale=scale), explain(floor, cpu)


def fit(spec: FloorSpec, panel: Panel, *, split: Split, task: Task, season: int | None = None) -> tuple[Floor, float]:
    """The fitted floor and the median CPU seconds of its fits; nothing else is timed."""
    spent = []
    for _ in range(RUNS):
        start = time.process_time()
        floor = fit_floor(spec, panel=panel, split=split, task=task, season=season)
        spent.append(time.process_time() - start)
    return floor, median(spent)


def explain(floor: Floor, cpu: float) -> str:
    """What was chosen, and what the fit cost."""
    chosen = next(record["candidate"] for record in floor.history if record["chosen"])
    return f"{chosen}; {len(floor.history)} candidates, {cpu:.2f} CPU s"


def compare(name: str, ours: float, theirs: float, *, unit: str, n: int, note: str) -> Line:
    """One comparison; ours keeps one digit more than any board prints."""
    ours = round(ours, 5)
    return {
        "name": name,
        "ours": ours,
        "theirs": theirs,
        "unit": unit,
        "ratio": round(ours / theirs, 4),
        "n": n,
        "note": note,
    }


if __name__ == "__main__":
    main()
