"""The log loss of classes some steps ahead: our classifiers beside floors, and beside scikit-learn and bare LightGBM.

    python benchmarks/classification.py [--out FILE] [--data walmart ett] [--models svr ridge]

Walmart: whether a department's sales of a week are falling, flat or rising (by 5 % of the week before), 1 to 4 weeks
ahead, every eighth of the departments whose 143 weeks are all there and above 100 dollars, holidays known. ETT: whether
a transformer's oil is colder or hotter (by 1.5 degrees) than a day before, 1 to 12 hours ahead. Peers see the last 8
classes as categories, the class a season before, the shares of the last 8 rows, the step and what is known, learn from
the same training windows and stop early on the same validation windows. Ours sees what it usually does, or, where
validation prefers that, the same lags and no calendar; ridge looks at classes alone, as far back as it chooses. The
test is scored once, on the very same windows. One JSON line a comparison; ratio is ours / theirs.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tell import open_parser, tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import polars as pl

import tidewright as tw
from tidewright.errors import RepairWarning
from tidewright.metrics.accuracy import Scored, score
from tidewright.models.spec import CLASS_FLOORS
from tidewright.models.specs.tabular import CLASSIFIERS
from tidewright.training.calibrate import fit_scaling
from tidewright.training.fit import view_of

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LAGS, MOST = 8, 100_000
OPTIONS = {"elastic_net": {"l1_share": 0.0}}


def read_walmart() -> tuple[Any, int, int]:
    """The panel, the horizon and the season."""
    table = pl.read_parquet(DATA / "walmart" / "train.parquet").sort("Store", "Dept", "Date")
    table = table.with_columns((pl.col("Store").cast(pl.String) + "_" + pl.col("Dept").cast(pl.String)).alias("id"))
    whole = table.group_by("id").agg(pl.len().alias("n"), pl.col("Weekly_Sales").min().alias("low"))
    kept = whole.filter((pl.col("n") == 143) & (pl.col("low") > 100)).sort("id")["id"].to_list()[::8]
    change = pl.col("Weekly_Sales") / pl.col("Weekly_Sales").shift(1).over("id") - 1
    state = pl.when(change < -0.05).then(pl.lit("falling")).when(change > 0.05).then(pl.lit("rising"))
    table = table.filter(pl.col("id").is_in(kept)).with_columns(state.otherwise(pl.lit("flat")).alias("state"))
    table = table.filter(pl.col("Date") > pl.col("Date").min()).with_columns(pl.col("IsHoliday").cast(pl.Float64))
    return _panel(table, series="id", time="Date", known=("IsHoliday",)), 4, 52


def read_ett() -> tuple[Any, int, int]:
    """The panel, the horizon and the season."""
    table = pl.read_csv(DATA / "ett" / "ETTh1.csv", try_parse_dates=True)
    change = pl.col("OT").diff(24)
    state = pl.when(change < -1.5).then(pl.lit("colder")).when(change > 1.5).then(pl.lit("hotter"))
    table = table.with_columns(state.otherwise(pl.lit("alike")).alias("state")).slice(24)
    return _panel(table, time="date"), 12, 24


READERS = {"walmart": read_walmart, "ett": read_ett}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--data", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--models", nargs="+", choices=CLASSIFIERS, default=list(CLASSIFIERS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tell((line for name in options.data for line in compare(name, options.models)), out=options.out)


def compare(name: str, models: list[str]) -> Iterator[dict[str, Any]]:
    """Every model beside the best floor and beside both peers, and what calibration does."""
    panel, horizon, season = READERS[name]()
    task = tw.Task(horizon, kind="classify")
    split = tw.split_holdout(panel, task)
    data = {"panel": panel, "split": split, "task": task}
    floors = {floor: _floor(floor, data) for floor in CLASS_FLOORS}
    windows = {part: floors["class_shares"][part].windows for part in ("validation", "test")}
    best = min(floors, key=lambda floor: floors[floor]["validation"].scores["log_loss"])
    peers = {peer: _peer(peer, panel, split, windows, season) for peer in ("HistGradientBoosting", "bare LightGBM")}
    for model in models:
        ways = ("usual",) if model == "ridge" else ("usual", "lean")
        tried = {way: _ours(model, data, lean=way == "lean") for way in ways}
        way = min(tried, key=lambda one: tried[one][1].scores["log_loss"])
        fitted, _, test, cpu = tried[way]
        told = test.scores
        accuracy = f"test accuracy {told['accuracy']:.3f}, macro F1 {told['macro_f1']:.3f}"
        calibration = f"calibration error {told['calibration_error']:.4f}; {cpu:.1f} CPU s"
        note = f"{way} view; {accuracy}, {calibration}; slope {fitted.scaling.slope:.2f}"
        found = {"test": test}
        count = len(found["test"].windows)
        yield _line(f"{name} {model} vs the floor {best}", told["log_loss"], floors[best]["test"].scores["log_loss"],
                    count, note)  # fmt: skip
        for peer, (loss, more) in peers.items():
            yield _line(f"{name} {model} vs {peer}", told["log_loss"], loss, count, more)
        yield from _calibrations(f"{name} {model}", fitted, data)


def _ours(model: str, data: dict[str, Any], *, lean: bool) -> tuple[Any, Any, Any, float]:
    """The fitted model, its scores on validation and on the test, and its CPU seconds."""
    panel, split, task = (data[name] for name in ("panel", "split", "task"))
    options = dict(OPTIONS.get(model, {}))
    spec = tw.build_spec(model, options | ({"lags": tuple(range(1, LAGS + 1)), "rolling": (LAGS,)} if lean else {}))
    view = view_of(spec, panel=panel, split=split, task=task)
    cpu = time.process_time()
    fitted = tw.fit(spec, **data, view=replace(view, calendar=()) if lean else view)
    cpu = time.process_time() - cpu
    parts = [tw.evaluate(fitted, panel=panel, split=split, cutoffs=part, shortest=LAGS)
             for part in (split.validation, split.test)]  # fmt: skip
    return fitted, parts[0], parts[1], cpu


def _calibrations(name: str, fitted: Any, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each way of calibrating on validation beside the probabilities as they were learned, on the test."""
    panel, split = data["panel"], data["split"]
    parts = [tw.evaluate(fitted.inner, panel=panel, split=split, cutoffs=part).scored
             for part in (split.validation, split.test)]  # fmt: skip
    (said, came), (asked, truth) = [(one.forecast[one.observed], one.actual[one.observed]) for one in parts]
    losses = {"raw": _loss(asked, truth)}
    for way, shifted in (("temperature", False), ("temperature and shifts", True)):
        losses[way] = _loss(fit_scaling(said, came, shifted=shifted).apply(asked), truth)
    losses["isotonic"] = _loss(_isotonic(said, came, asked), truth)
    for way, loss in losses.items():
        if way != "raw":
            yield _line(f"{name} calibrated ({way}) vs raw", loss, losses["raw"], len(truth), "cells of the test")


def _isotonic(said: Any, came: Any, asked: Any) -> Any:
    """Per-class isotonic regression, over their sum."""
    from sklearn.isotonic import IsotonicRegression

    columns = [
        IsotonicRegression(out_of_bounds="clip").fit(said[:, k], came == k).predict(asked[:, k])
        for k in range(said.shape[1])
    ]
    found = np.maximum(np.column_stack(columns), 1e-4)
    return found / found.sum(axis=1, keepdims=True)


def _floor(name: str, data: dict[str, Any]) -> dict[str, Any]:
    panel, split = data["panel"], data["split"]
    fitted = tw.fit(tw.build_spec(name), **data)
    given = {"panel": panel, "split": split, "shortest": LAGS}
    return {part: tw.evaluate(fitted, cutoffs=getattr(split, part), **given) for part in ("validation", "test")}


def _peer(peer: str, panel: Any, split: Any, windows: dict[str, Any], season: int) -> tuple[float, str]:
    """A peer's log loss on the test windows."""
    train = _rows(panel, _training_rows(panel, split), split.horizon, season, most=MOST)
    valid = _rows(panel, windows["validation"].rows, split.horizon, season)
    test = _rows(panel, windows["test"].rows, split.horizon, season)
    cpu = time.process_time()
    model = _learn(peer, train, valid)
    cpu = time.process_time() - cpu
    said = model.predict_proba(test[0])
    told = score(Scored(test[1][:, None], said[:, None], n_classes=said.shape[1]))
    return told["log_loss"], f"theirs: test accuracy {told['accuracy']:.3f}; {cpu:.1f} CPU s; {len(train[1])} cells"


def _learn(peer: str, train: Any, valid: Any) -> Any:
    categories = list(range(LAGS + 1))
    if peer == "bare LightGBM":
        import lightgbm

        model = lightgbm.LGBMClassifier(n_estimators=300, learning_rate=0.05, n_jobs=1, verbosity=-1, random_state=0)
        stop = lightgbm.early_stopping(25, verbose=False)
        return model.fit(train[0], train[1], eval_set=[valid], categorical_feature=categories, callbacks=[stop])
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=300, learning_rate=0.05, early_stopping=True, n_iter_no_change=25, categorical_features=categories,
        random_state=0,
    )  # fmt: skip
    return model.fit(train[0], train[1], X_val=valid[0], y_val=valid[1])


def _training_rows(panel: Any, split: Any) -> Any:
    inside = (panel.positions >= split.train.first) & (panel.positions <= split.train.last)
    return np.flatnonzero(inside & (np.arange(len(panel.target)) - panel.offsets[panel.codes] >= LAGS - 1))


def _rows(panel: Any, rows: Any, horizon: int, season: int, *, most: int | None = None) -> tuple[Any, Any]:
    """Features [C, F] and classes [C] of every step of the windows that end at flat rows."""
    target, first = panel.target, panel.offsets[panel.codes]
    index, steps = np.repeat(rows, horizon), np.tile(np.arange(1, horizon + 1), len(rows))
    if most is not None and len(index) > most:
        kept = np.linspace(0, len(index) - 1, most).astype(np.int64)
        index, steps = index[kept], steps[kept]
    start = first[index]

    def look(place: Any) -> Any:
        return np.where(place >= start, target[np.maximum(place, 0)], np.nan)

    lags = [look(index - lag) for lag in range(LAGS)]
    seasonal = look(index + steps - season * (-(-steps // season)))
    shares = [np.mean([lag == label for lag in lags], axis=0) for label in range(len(panel.classes))]
    known = [panel.values(name)[index + steps] for name in panel.roles.known]
    return np.column_stack([*lags, seasonal, *shares, steps, *known]), target[index + steps]


def _panel(table: pl.DataFrame, **roles: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepairWarning)
        return tw.Panel.from_table(table, target="state", classes=True, **roles)


def _loss(said: Any, came: Any) -> float:
    return score(Scored(came[:, None], said[:, None], n_classes=said.shape[1]), ["log_loss"])["log_loss"]


def _line(name: str, ours: float, theirs: float, count: int, note: str) -> dict[str, Any]:
    return {"name": name, "ours": round(ours, 4), "theirs": round(theirs, 4), "unit": "nats",
            "ratio": round(ours / theirs, 4), "n": count, "note": note}  # fmt: skip


if __name__ == "__main__":
    main()
