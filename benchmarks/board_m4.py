"""M4 Hourly: 414 series, horizon 48, the given test.

How a model learns here stands in benchmarks/results/choices_m4.jsonl, where choose_m4.py keeps what it found on
validation: three forecasts a series, 96, 72 and 48 hours before its end. The same split serves the test.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
from board_fit import DATA, LEVELS, learn
from board_trials import best_own

from tidewright.data.border import read_table
from tidewright.data.layout import melt_rows
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import Task
from tidewright.features.windows import Doubles, Windows, cut_windows, newest_windows
from tidewright.metrics.accuracy import Scored, owa, score, seasonal_scale
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS
from tidewright.training.ensemble import fit_ensemble

HORIZON, SEASON = 48, 24
TASK = Task(horizon=HORIZON, quantiles=LEVELS)
M4_NOTE = """\
On M4 Hourly the options of each model come from `benchmarks/results/choices_m4.jsonl`: `benchmarks/choose_m4.py` tried
a few, one seed, and took those with the least OWA on validation: three forecasts a series, 96, 72 and 48 hours before
the end of the training file; models learn from what lies before. The test was scored once for each model and seed of a
choice. lightgbm, nhits, nlinear, tide and "ensemble" are a second choice, of models that learn the logarithm (a view's
log) or the change over the season before; the test scores of the first (OWA 0.473, 0.527, 0.599 and, without tide,
0.454) were known when it was made, and those of ridge and seasonal before the first. "ensemble" is the median of
members of the same seed, lightgbm, nhits, nlinear and tide, one bundle; which these are, and whether their median
answers or a mean, alike or by validation MASE, was chosen likewise, on the windows that they stopped by. Its CPU
seconds are those of all of them. Trials by hand on the same validation came before, and shaped the candidates
(PatchTST, at 0.608 there, and 0.529 with the logarithm, was left out). CPU seconds are of learning, on one thread.
"""


@dataclass(frozen=True, eq=False)
class Part:
    """The training file, every series ending at the same position."""

    panel: Panel
    split: Split


@cache
def open_m4() -> Part:
    """The training file and its split; the test stands in a file of its own."""
    table = melt_rows(read_table(DATA / "m4_hourly" / "Hourly-train.csv.gz"), series="V1")
    step = pl.col("step").cast(pl.Int64)
    table = table.filter(pl.col("value").is_not_null()).with_columns(step - step.max().over("V1") + 960)
    panel = Panel.from_table(table, series="V1", time="step", target="value")
    first, last = panel.span
    cutoffs = Cutoffs(last - 2 * HORIZON, last - HORIZON, SEASON)
    return Part(panel, Split(Cutoffs(first, cutoffs.first - HORIZON), cutoffs, None, HORIZON, HORIZON, 0))


def learn_m4(name: str, *, own: dict[str, Any], seed: int) -> Fitted:
    """A model fitted with options of its own (see board_fit.py)."""
    part = open_m4()
    return learn(name, settings={"": own}, panel=part.panel, split=part.split, task=TASK, season=SEASON, seed=seed)


def judge_m4(fitted: Fitted, windows: Windows, *, actual: Doubles) -> dict[str, float]:
    """OWA, sMAPE in percent and MASE, whose scale is the mean absolute difference at lag 24 of the training file."""
    panel = open_m4().panel
    scale = seasonal_scale(panel.target, offsets=panel.offsets, season=SEASON)[windows.series]
    found = score(Scored(actual, fitted.predict(windows), levels=LEVELS, scale=scale), ["smape", "mase"])
    both = {"sMAPE": 100 * found["smape"], "MASE": found["mase"]}
    return {"OWA": owa(both["sMAPE"], both["MASE"], smape_naive2=18.383, mase_naive2=2.395)} | both


def judge_validation(fitted: Fitted) -> dict[str, float]:
    """The scores on validation."""
    part = open_m4()
    windows = cut_windows(part.panel, fitted.view, horizon=HORIZON, cutoffs=part.split.validation, least=1)
    return {f"validation {name}": value for name, value in judge_m4(fitted, windows, actual=windows.labels()).items()}


def judge_options(name: str, own: dict[str, Any]) -> dict[str, float]:
    """The scores on validation of a model with options of its own, OWA first; the test is not opened."""
    mixed = name == "ensemble"
    return judge_validation(mix_members(own=own, seed=0)[0] if mixed else learn_m4(name, own=own, seed=0))


def run_m4(name: str, *, seed: int) -> dict[str, float]:
    """sMAPE, MASE and OWA on M4 Hourly: learned on the training file alone, scored on the given test."""
    mixed = name == "ensemble"
    fitted, cpu = mix_members(own=best_own("m4", name), seed=seed) if mixed else learn_member(name, seed=seed)
    panel = open_m4().panel
    table = read_table(DATA / "m4_hourly" / "Hourly-test.csv")
    order = [table["V1"].to_list().index(one) for one in panel.series_ids]
    actual = table.drop("V1").cast(pl.Float64).to_numpy()[order]
    tested = judge_m4(fitted, newest_windows(panel, fitted.view, horizon=HORIZON), actual=actual)
    return tested | judge_validation(fitted) | {"cpu_s": cpu}


def mix_members(*, own: dict[str, Any], seed: int) -> tuple[Fitted, float]:
    """The ensemble of the "members" that the options name, by their "rule", and the CPU seconds of all of it."""
    asked = [learn_member(member, seed=seed) for member in own["members"]]
    part, started = open_m4(), time.process_time()
    options: dict[str, Any] = {"rule": own["rule"], "season": SEASON}
    fitted = fit_ensemble([one for one, _ in asked], panel=part.panel, split=part.split, **options)
    return fitted, time.process_time() - started + sum(cpu for _, cpu in asked)


@cache
def learn_member(name: str, *, seed: int) -> tuple[Fitted, float]:
    """A model learned as chosen, and its CPU seconds."""
    own, started = {} if name in FLOORS else best_own("m4", name), time.process_time()
    return learn_m4(name, own=own, seed=seed), time.process_time() - started
