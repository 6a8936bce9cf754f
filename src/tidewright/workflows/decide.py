"""From a market's forecasts to weights, and what they would have earned over the test part after costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.wide import to_wide
from tidewright.features.windows import cut_windows, newest_windows
from tidewright.models.fitted import Fitted
from tidewright.portfolio import (
    Costs,
    Ledger,
    View,
    backtest_weights,
    deflated_sharpe,
    hrp_weights,
    sample_sharpe,
    tilt_by_forecast,
    walk_weights,
)
from tidewright.portfolio.forecasts.predictions import Predictions, fill_spread
from tidewright.portfolio.forecasts.skill import Skill, estimate_skill
from tidewright.portfolio.risk.measure import value_at_risk
from tidewright.portfolio.risk.record import Risk
from tidewright.portfolio.weights import Weights
from tidewright.training.compare import Leaderboard
from tidewright.training.evaluate import Evaluation
from tidewright.workflows.result import Decision, Strategy
from tidewright.workflows.settings import DecideSettings

Doubles = npt.NDArray[np.float64]
RISK_BARS, RISK_CONFIDENCE = 1000, 0.95  # the risk of the next bar is read off so many bars


def decide(
    panel: Panel,
    prices: Panel,
    *,
    split: Split,
    board: Leaderboard,
    fitted: Fitted,
    validation: Evaluation,
    settings: DecideSettings,
    trials: int,
) -> Decision:
    """Equal weight and HRP (Lopez de Prado 2016) over the test part; HRP tilted by a forecast that beat its floor.

    A decision after the close of bar t is filled at the close of bar t + 1. `trials` is all that was tried, for the
    deflated Sharpe ratio.
    """
    assert split.test is not None
    wide, returns = to_wide(prices), to_wide(panel)
    rows, bars = returns.positions >= split.test.first - settings.lookback + 1, wide.positions >= split.test.first
    assets = tuple(str(name) for name in panel.series_ids)
    per_year = panel.frequency.periods_per_year
    measured = measure_validation(validation) if board.beat_floor else None
    skill = 0.0 if measured is None else measured.used
    view = None if measured is None else _view(panel, returns.positions[rows], fitted, skill, settings)
    costs = Costs(fee_bps=settings.fee_bps, half_spread_bps=settings.half_spread_bps)
    plans: dict[str, tuple[str, View | None]] = {"equal weight": ("equal", None), "HRP": ("hrp", None)}
    if view is not None:
        plans["HRP + forecast"] = ("hrp", view)
    ledgers: dict[str, Ledger] = {}
    for name, (rule, tilt) in plans.items():
        targets = walk_weights(
            returns.values[rows], times=returns.times[rows], assets=assets, decide_every=settings.decide_every,
            lookback=settings.lookback, rule=rule, view=tilt,
        )  # fmt: skip
        ledgers[name] = backtest_weights(
            targets.values, wide.values[bars], times=wide.times[bars], assets=assets, decided=targets.times, costs=costs
        )
    base = hrp_weights(returns.values[-settings.lookback :], assets=assets)
    if view is not None:
        expected, spread = _newest(panel, fitted)
        base = tilt_by_forecast(base, expected=expected, uncertainty=spread, skill=skill)
    return Decision(
        weights=base,
        strategies=tell_strategies(ledgers, per_year, trials),
        used_forecast=view is not None and skill > 0,
        reason=_reason(board, measured),
        trials=trials,
        periods_per_year=per_year,
        risk=_measure_risk(returns.values, weights=base),
    )


def _measure_risk(returns: Doubles, *, weights: Weights) -> Risk | None:
    """The risk of the weights over the next bar, from the newest bars [T, A] at which every asset has a return."""
    whole = returns[np.isfinite(returns).all(axis=1)][-RISK_BARS:]
    if len(whole) * (1.0 - RISK_CONFIDENCE) < 1.0:
        return None
    return value_at_risk(whole, assets=weights.assets, confidence=RISK_CONFIDENCE, weights=weights)


def measure_validation(validation: Evaluation) -> Skill:
    """The skill on validation, of a model that beat its floor, of the forecast sum over the horizon."""
    windows, assets = validation.windows, len(validation.windows.offsets) - 1
    cutoffs, rows = np.unique(windows.cutoffs, return_inverse=True)
    expected = np.full((len(cutoffs), assets), np.nan)
    realised = np.full((len(cutoffs), assets), np.nan)
    expected[rows, windows.series] = validation.scored.point.sum(axis=1)
    realised[rows, windows.series] = validation.scored.actual.sum(axis=1)
    horizon = validation.scored.actual.shape[1]
    overlap = np.searchsorted(cutoffs, cutoffs + horizon) - np.arange(len(cutoffs))
    return estimate_skill(expected, realised, overlap=int(overlap.max()), beats_floor=True)


def _view(
    panel: Panel,
    positions: npt.NDArray[np.int64],
    fitted: Fitted,
    skill: float,
    settings: DecideSettings,
) -> View:
    """The forecasts at the bars that decide, the first of which has `lookback` returns behind it."""
    first = int(positions[min(settings.lookback, len(positions)) - 1])
    cutoffs = Cutoffs(first, int(positions[-1]), settings.decide_every)
    said = predict(fitted, panel, cutoffs=cutoffs)
    expected = np.full((len(positions), panel.n_series), np.nan)
    uncertainty = np.full_like(expected, np.nan)
    rows = cutoffs.positions - positions[0]
    expected[rows], uncertainty[rows] = said.expected(), fill_spread(said.spread())
    return View(expected=expected, uncertainty=uncertainty, skill=skill)


def _newest(panel: Panel, fitted: Fitted) -> tuple[Doubles, Doubles]:
    """Of each asset, from its own last value: what it is expected to return, and how surely [A]."""
    panel = fitted.view.read(panel)
    windows = newest_windows(panel, fitted.view, horizon=fitted.task.horizon)
    said = _name(fitted, panel, np.array([panel.span[1]]), fitted.predict(windows)[None])
    return said.expected()[0], fill_spread(said.spread())[0]


def predict(fitted: Fitted, panel: Panel, *, cutoffs: Cutoffs) -> Predictions:
    """What a model says at some cutoffs, for every series that has an observed value there.

    The panel is extended first, so that a model sees the calendar of the steps after its end as of any others.
    """
    panel = fitted.view.read(panel).extend(fitted.task.horizon)
    task = fitted.task
    windows = cut_windows(panel, fitted.view, horizon=task.horizon, cutoffs=cutoffs, least=1, labelled=False)
    quantiles = np.full((len(cutoffs), panel.n_series, task.horizon, len(task.quantiles)), np.nan)
    quantiles[(windows.cutoffs - cutoffs.first) // cutoffs.stride, windows.series] = fitted.predict(windows)
    return _name(fitted, panel, cutoffs.positions, quantiles)


def _name(fitted: Fitted, panel: Panel, positions: npt.NDArray[np.int64], quantiles: Doubles) -> Predictions:
    """Quantiles [C, A, H, Q] with the names and the times of what they are of."""
    horizon, grid = fitted.task.horizon, panel.frequency
    steps = positions[:, None] + np.arange(1, horizon + 1)
    return Predictions(
        model=fitted.spec.name,
        assets=tuple(str(name) for name in panel.series_ids),
        cutoffs=grid.times(positions).astype("datetime64[us]"),
        times=grid.times(steps.reshape(-1)).astype("datetime64[us]").reshape(steps.shape),
        levels=np.array(fitted.task.quantiles),
        quantiles=quantiles,
    )


def tell_strategies(ledgers: Mapping[str, Ledger], per_year: float, trials: int) -> tuple[Strategy, ...]:
    """Each ledger with its figures after costs and its deflated Sharpe ratio, None where its returns don't vary."""
    samples = {name: sample_sharpe(ledger.net_returns()) for name, ledger in ledgers.items()}
    found = []
    for name, ledger in ledgers.items():
        sample = samples[name]
        luck = 1.0 / max(sample.periods - 1, 1)
        found.append(
            Strategy(
                name=name,
                ledger=ledger,
                summary=ledger.summary(periods_per_year=per_year),
                deflated=deflated_sharpe(sample, trials=max(trials, 1), trial_variance=luck)
                if np.isfinite(sample.sharpe)
                else None,
            )
        )
    return tuple(found)


def _reason(board: Leaderboard, skill: Skill | None) -> str:
    if skill is None:
        return "No forecast moved the weights, since no model beat its floor."
    if not skill.mean > 0:
        why = "its forecasts did not order the assets on validation (rank IC at most 0), so they moved no weight"
        return f"{board.winner} beat its floor, but {why}."
    if not skill.used > 0:
        told = f"with an error of {skill.error:.3f}" if np.isfinite(skill.error) else "from too few dates for an error"
        why = (
            f"the rank IC of its forecasts on validation, {skill.mean:.3f} {told}, may be luck, so they moved no weight"
        )
        return f"{board.winner} beat its floor, but {why}."
    return (
        f"{board.winner} beat its floor; its forecasts tilt the weights by a skill of {skill.used:.3f}: their rank IC "
        f"on validation, {skill.mean:.3f} with an error of {skill.error:.3f} over {skill.count} dates, shrunk for it."
    )
