"""Finished runs made of small simulated panels, for the tests of the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.inspect import inspect
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.portfolio import (
    Costs,
    backtest_weights,
    deflated_sharpe,
    hrp_weights,
    returns_from_prices,
    sample_sharpe,
    walk_weights,
)
from tidewright.portfolio.risk.measure import value_at_risk
from tidewright.training.compare import Entrant, compare
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit
from tidewright.training.forecast import forecast
from tidewright.training.spec import TrainSpec
from tidewright.tuning.read_space import find_space
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial, TrialState
from tidewright.workflows.result import Decision, Note, RunResult, Serving, Strategy
from tidewright.workflows.settings import RunSettings

NASTY = "<script>alert(1)</script>"
FLOORS = ("naive", "seasonal", "median")
MODELS = ("ridge",)  # plays the model that must beat the floors: it learns in no time


def make_panel(
    *, series: int = 6, rows: int = 900, names: tuple[str, ...] = (), target: str = "sold", gap: bool = True
) -> Panel:
    """Daily sales with a weekly wave, an autoregression and noise; one series misses a few days."""
    draw = np.random.default_rng(7)
    days = pl.date_range(pl.date(2022, 1, 1), pl.date(2022, 1, 1) + pl.duration(days=rows - 1), eager=True)
    parts = []
    for number in range(series):
        noise = np.zeros(rows)
        for t in range(1, rows):
            noise[t] = 0.8 * noise[t - 1] + draw.normal()
        values = 40.0 + 10.0 * number + 6.0 * np.sin(2 * np.pi * np.arange(rows) / 7 + number) + 2.0 * noise
        if gap and number == 1:
            values[40:46] = np.nan
        name = names[number] if number < len(names) else f"shop {number}"
        parts.append(
            pl.DataFrame({"shop": [name] * rows, "day": days, target: values}).with_columns(
                pl.col(target).fill_nan(None)
            )
        )
    return Panel.from_table(pl.concat(parts), series="shop", time="day", target=target)


def make_result(
    panel: Panel | None = None,
    *,
    folder: Path,
    models: tuple[str, ...] = MODELS,
    horizon: int = 7,
    train: TrainSpec | None = None,
    **changes: Any,
) -> RunResult:
    """A finished run on a panel: fitted, scored and compared for real; what serves it is written by hand."""
    panel = make_panel() if panel is None else panel
    task = Task(horizon=horizon)
    split = split_holdout(panel, task, stride=3)
    fitted = {
        name: fit(build_spec(name), panel=panel, split=split, task=task, season=7, train=train)
        for name in (*FLOORS, *models)
    }
    parts = {
        part: {name: evaluate(one, panel=panel, split=split, cutoffs=cutoffs, season=7) for name, one in fitted.items()}
        for part, cutoffs in (("validation", split.validation), ("test", split.test))
        if cutoffs is not None
    }
    entrants = [
        Entrant(
            parts["validation"][name],
            parts["test"][name],
            floor=name in FLOORS,
            seconds=0.25 + n,
            cpu_seconds=0.125 + n,
        )
        for n, name in enumerate(fitted)
    ]
    board = compare(
        entrants,
        metric="mase",
        horizon=horizon,
        strides=(3, 3),
        failed={"lstm": "the loss was never finite <b>at all</b>"},
    )
    winner = fitted[board.winner]
    result = RunResult(
        run_id="20240102-abc",
        folder=folder,
        settings=RunSettings(horizon=horizon),
        panel=panel,
        verdict=inspect(panel, horizon=horizon),
        task=task,
        split=split,
        season=7,
        leaderboard=board,
        evaluations=parts["test"],
        fitted=fitted,
        serving=make_serving(folder),
        forecast=forecast(winner, panel),
        decision=None,
        study=None,
        notes=(Note("fallback", "threads=8", "threads=2", "the machine has 2 cores & no more"),),
        next_command="tidewright predict bundle YOUR_TABLE.csv",
        seconds=41.5,
        stages={"floor naive": 0.21, "sealing the bundle": 1.4},
    )
    return replace(result, **changes)


def make_serving(folder: Path) -> Serving:
    """A sealed model's figures."""
    latency = {"p50_ms": 0.0123, "p95_ms": 0.0234, "p99_ms": 0.0456}
    return Serving(folder / "bundle", "0f" * 32, "onnxruntime", 2.5e-7, 1e-5, latency, 0.246)


def make_decision(*, rows: int = 300, assets: int = 5) -> Decision:
    """Equal weight and HRP on simulated prices, backtested for real."""
    draw = np.random.default_rng(3)
    names = tuple(f"A{n}" for n in range(assets))
    moves = draw.normal(4e-4, 0.01, (rows, assets)) * np.linspace(0.5, 2.0, assets)
    prices = 100.0 * np.cumprod(1.0 + moves, axis=0)
    times = np.datetime64("2021-01-04") + np.arange(rows)
    returns = returns_from_prices(prices, times=times, assets=names)
    strategies = []
    for name, rule in (("equal weight", "equal"), ("HRP", "hrp")):
        targets = walk_weights(returns, times=times[1:], assets=names, decide_every=21, lookback=60, rule=rule)
        ledger = backtest_weights(
            targets.values,
            prices,
            times=times,
            assets=names,
            decided=targets.times,
            costs=Costs(fee_bps=1.0, half_spread_bps=2.0),
        )
        sample = sample_sharpe(ledger.net_returns())
        luck = deflated_sharpe(sample, trials=12, trial_variance=1.0 / (sample.periods - 1))
        strategies.append(Strategy(name, ledger, ledger.summary(periods_per_year=252.0), luck))
    weights = hrp_weights(returns[-60:], assets=names)
    return Decision(
        weights,
        tuple(strategies),
        False,
        "No forecast moved the weights, since no model beat its floor.",
        12,
        252.0,
        value_at_risk(returns, assets=names, weights=weights),
    )


def make_study(fitted: Fitted, *, trials: int = 14) -> Study:
    """A search's account with complete, pruned and failed trials."""
    draw = np.random.default_rng(5)
    done = []
    for number in range(trials):
        state = {4: TrialState.PRUNED, 9: TrialState.FAILED}.get(number, TrialState.COMPLETE)
        value = float(1.0 - 0.02 * number + 0.05 * draw.normal()) if state is TrialState.COMPLETE else None
        options = {} if number == 0 else {"model.hidden": 32 + number, "train.learning_rate": 1e-3 * number}
        error = "ValueError: <i>no</i>" if state is TrialState.FAILED else ""
        values = () if value is None else (value,)
        done.append(Trial(number, state, values, options, f"{number:012x}", 1.5, 1.25, error=error))
    best = min((t for t in done if t.value is not None), key=lambda t: t.value or 0.0)
    return Study(
        space=find_space("lstm"),
        metric="mase",
        seed=0,
        spec=fitted.spec,
        train=TrainSpec(),
        view=fitted.view,
        fitted=fitted,
        best=best,
        trials=tuple(done),
        seconds=21.0,
        reason="all 14 trials were run",
    )
