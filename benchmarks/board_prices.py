"""Day-ahead electricity prices of BE and DE: the last 20 days, one window a day, two covariates known."""

from __future__ import annotations

from board_fit import DATA, LEVELS, Settings, learn

from tidewright.data.border import read_table
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout, without_test
from tidewright.data.task import Task
from tidewright.features.windows import cut_windows
from tidewright.metrics.accuracy import Scored, past_scale, score
from tidewright.models.spec import FLOORS
from tidewright.training.fit import keep_covariates

SETTINGS: Settings = {
    "": {"lookback": 336, "calendar": True, "train": {"loss": "quantile", "epochs": 15, "patience": 4}}
}


def run_price(name: str, *, place: str, seed: int) -> dict[str, float]:
    """MASE of 20 daily forecasts of the day-ahead price, two covariates known; scale: lag 24 of each window's past."""
    table = read_table(DATA / "electricity_prices" / f"{place}.parquet")
    known = [c for c in table.columns if c not in ("date", "OT")]
    panel = Panel.from_table(table, time="date", target="OT", known=known)
    task = Task(horizon=24, quantiles=LEVELS)
    last = panel.span[1]
    base = split_holdout(panel, task, validation=364 * 24, test=20 * 24, stride=24)
    split = Split(base.train, base.validation, Cutoffs(last - 480, last - 24, 24), 24, 24, 0)
    fitted = learn(name, settings=SETTINGS, panel=panel, split=without_test(split), task=task, season=24, seed=seed)
    found = {}
    for part, cutoffs in (("validation ", split.validation), ("", split.test)):
        assert cutoffs is not None
        seen = panel if name in FLOORS else keep_covariates(panel, fitted.spec.takes)
        windows = cut_windows(seen, fitted.view, horizon=24, cutoffs=cutoffs, least=1)
        scale = past_scale(panel.target, offsets=panel.offsets, season=24, series=windows.series, ends=windows.rows + 1)
        scored = Scored(windows.labels(), fitted.predict(windows), levels=LEVELS, scale=scale)
        found[f"{part}MASE"] = score(scored, ["mase"])["mase"]
    return found
