"""ETTh1 at horizons 96, 192, 336 and 720: the standard split, every window of the test."""

from __future__ import annotations

import polars as pl
from board_fit import DATA, LEVELS, Settings, learn

from tidewright.data.layout import melt_columns
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, split_holdout, without_test
from tidewright.data.task import Task
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import keep_covariates

SETTINGS: Settings = {
    "": {"lookback": 336, "train": {"loss": "mae", "epochs": 12, "patience": 3, "weight_decay": 1e-4}},
    "patchtst": {"train": {"learning_rate": 5e-4, "batch_size": 128, "steps": 250, "epochs": 10}},
    "itransformer": {
        "model": {"dropout": 0.3},
        "train": {"learning_rate": 2e-4, "batch_size": 128, "steps": 250, "epochs": 10},
    },
}


def run_ett(name: str, *, horizon: int, seed: int) -> dict[str, float]:
    """MSE and MAE on ETTh1's standard split, standardised by the training part, every window of the test."""
    table = pl.read_csv(DATA / "ett" / "ETTh1.csv").head(14_400)
    train = table.head(8640)
    scaled = [(pl.col(c) - train[c].mean()) / train[c].std(ddof=0) for c in table.columns[1:]]
    panel = Panel.from_table(
        melt_columns(table.with_columns(scaled), time="date"), series="series", time="date", target="value"
    )
    task = Task(horizon=horizon, quantiles=LEVELS)
    split = split_holdout(panel, task, validation=2880, test=2880, stride=1)
    assert split.test is not None
    fitted = learn(name, settings=SETTINGS, panel=panel, split=without_test(split), task=task, season=24, seed=seed)
    sparse = Cutoffs(split.validation.first, split.validation.last, 7)
    judged = evaluate(fitted, panel=keep_covariates(panel, ()), split=split, cutoffs=sparse, season=24).scores
    scores = evaluate(fitted, panel=keep_covariates(panel, ()), split=split, cutoffs=split.test, season=24).scores
    return {
        "MSE": scores["mse"],
        "MAE": scores["mae"],
        "validation MSE": judged["mse"],
        "validation MAE": judged["mae"],
    }
