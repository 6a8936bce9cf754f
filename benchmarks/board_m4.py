"""M4 Hourly: 414 series, horizon 48, the given test."""

from __future__ import annotations

import polars as pl
from board_fit import DATA, LEVELS, Settings, learn

from tidewright.data.border import read_table
from tidewright.data.layout import melt_rows
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout
from tidewright.data.task import Task
from tidewright.features.windows import newest_windows
from tidewright.metrics.accuracy import Scored, owa, score, seasonal_scale
from tidewright.training.evaluate import evaluate

SETTINGS: Settings = {"": {"lookback": 336, "train": {"loss": "quantile", "epochs": 15, "patience": 4}}}


def run_m4(name: str, *, seed: int) -> dict[str, float]:
    """sMAPE, MASE and OWA on M4 Hourly: learned on the training file alone, scored on the given test."""
    panel = Panel.from_table(
        melt_rows(read_table(DATA / "m4_hourly" / "Hourly-train.csv.gz"), series="V1"),
        series="V1",
        time="step",
        target="value",
    )
    task = Task(horizon=48, quantiles=LEVELS)
    split = split_holdout(panel, task, validation=96, test=48)
    split = Split(
        Cutoffs(split.train.first, split.train.last + 48),
        Cutoffs(split.validation.first + 48, split.validation.last + 48, 8),
        None, 48, 48, 0,
    )  # fmt: skip
    fitted = learn(name, settings=SETTINGS, panel=panel, split=split, task=task, season=24, seed=seed)
    judged = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation, season=24).scores
    actual = read_table(DATA / "m4_hourly" / "Hourly-test.csv")
    order = [actual["V1"].to_list().index(one) for one in panel.series_ids]
    values = actual.drop("V1").cast(pl.Float64).to_numpy()[order]
    scale = seasonal_scale(panel.target, offsets=panel.offsets, season=24)
    forecast = fitted.predict(newest_windows(panel, fitted.view, horizon=48))
    scores = score(Scored(values, forecast, levels=LEVELS, scale=scale), ["smape", "mase"])
    both = {"sMAPE": 100 * scores["smape"], "MASE": scores["mase"]}
    whole = owa(both["sMAPE"], both["MASE"], smape_naive2=18.383, mase_naive2=2.395)
    return {**both, "OWA": whole, "validation MASE": judged["mase"]}
