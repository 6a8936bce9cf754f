"""`walk_forward`: learn, decide and trade on a schedule, each time from what was known then.

D decisions, A assets, T bars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.wide import Wide, to_wide
from tidewright.errors import ConfigError
from tidewright.portfolio import Costs, Targets, View, Weights, backtest_weights, walk_weights
from tidewright.portfolio.forecasts.predictions import Predictions, fill_spread
from tidewright.portfolio.forecasts.skill import Skill, measure_skill
from tidewright.portfolio.universe import Universe
from tidewright.training.fit import keep_covariates
from tidewright.workflows.decide import measure_validation, predict, tell_strategies
from tidewright.workflows.result import Strategy
from tidewright.workflows.walk_plan import Plan, plan_walk
from tidewright.workflows.walk_refit import Refit, refit
from tidewright.workflows.walk_settings import WalkSettings

Doubles = npt.NDArray[np.float64]
Tell = Callable[[str], None]
EQUAL, TILTED = "equal weight", "{} + forecast"


@dataclass(frozen=True, eq=False)
class WalkForward:
    """A walk that was made: `refits` with what each learned, the `predictions` of every model at every decision,
    `targets` (the weights [D, A] of every strategy), `strategies` with their ledgers, and what was left out.

    `trials` is what the deflated Sharpe ratio counts: every model and floor, every trial of every search, and what
    `settings.trials_before` says. `folder` is the record on disk, None where none was kept.
    """

    settings: WalkSettings
    assets: tuple[str, ...]
    returns: Wide
    times: npt.NDArray[np.datetime64]
    refits: tuple[Refit, ...]
    predictions: Mapping[str, Predictions]
    targets: Mapping[str, Doubles]
    strategies: tuple[Strategy, ...]
    trials: int
    periods_per_year: float
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    def __repr__(self) -> str:
        """The walk in a line; its tables would fill the screen."""
        told = f"{len(self.times)} decisions on {len(self.assets)} assets"
        if len(self.times):
            told += f", {self.times[0].astype('datetime64[s]')} to {self.times[-1].astype('datetime64[s]')}"
        names = ", ".join(one.name for one in self.strategies)
        return f"WalkForward({told}: {len(self.refits)} refits; strategies {names}; {self.trials} trials)"

    def weights(self, strategy: str) -> Weights:
        """The newest weights of a strategy. Raises `ConfigError` for one that is not there."""
        if strategy not in self.targets:
            raise ConfigError(f"no strategy is called {strategy!r}; there are: {', '.join(self.targets)}.")
        return Weights(assets=self.assets, values=self.targets[strategy][-1], method=strategy)

    def skill(self, model: str) -> Skill:
        """The rank IC of a model over the whole walk, on which nothing here rested, beside its best floor's of the last
        refit."""
        returns = self.returns
        return measure_skill(
            self.predictions[model], returns.values, times=returns.times, assets=self.assets,
            floor=self.predictions[self.refits[-1].board.best_floor],
        )  # fmt: skip


def walk_forward(
    prices: Panel,
    *,
    panel: Panel | None = None,
    universe: Universe | None = None,
    settings: WalkSettings | None = None,
    folder: str | Path | None = "tidewright-runs",
    tell: Tell = lambda _: None,
    **options: Any,
) -> WalkForward:
    """A walk over `prices`: refits, searches and decisions on the schedule of the settings, filled a bar later.

    `panel` holds the returns and whatever covariates the models may see (default: `to_returns(prices)`); its series and
    grid are those of the prices. `universe` says who may be held when. `options` are fields of `WalkSettings`.

    At each refit floors and models learn from the rows up to that bar alone and are compared on the validation part
    before it; only a model that beats its best floor there with significance moves weights until the next refit, as far
    as its rank IC on validation goes. What every model said is kept, moved or not. With a `folder` the walk is recorded
    so that `repeat_decision` can make any of its decisions again. Raises `ConfigError` and `ShortSeriesError` before
    anything is learned.
    """
    if settings is None:
        settings = WalkSettings.read(options)
    elif options:
        raise ConfigError(f"got settings and {next(iter(options))}. Give one or the other.")
    plan = plan_walk(prices, panel=panel, settings=settings, universe=universe)
    refits: list[Refit] = []
    for turn, position in enumerate(plan.refits):
        tell(f"refit {turn + 1} of {len(plan.refits)}, after {plan.panel.time_at(position)}")
        refits.append(
            refit(plan.panel, position=position, task=plan.task, settings=settings, chosen=plan.carry(refits))
        )
    tell("deciding")
    walk = _trade(plan, refits, listen(plan, refits))
    if folder is not None:
        from tidewright.workflows.walk_record import keep_walk

        walk = keep_walk(walk, plan, folder=Path(folder))
    return walk


def listen(plan: Plan, refits: Sequence[Refit]) -> dict[str, Predictions]:
    """What every model said at every decision, from the newest refit; NaN where it failed in that."""
    parts: dict[str, list[Predictions]] = {}
    for turn, one in enumerate(refits):
        cutoffs = plan.segment(turn)
        if not len(cutoffs):
            continue
        for name, fitted in one.fitted.items():
            own = keep_covariates(plan.panel, fitted.spec.takes)
            parts.setdefault(name, []).append(predict(fitted, own, cutoffs=cutoffs))
    return {name: _join(name, said, plan) for name, said in parts.items()}


def _join(name: str, parts: Sequence[Predictions], plan: Plan) -> Predictions:
    """The predictions of some refits' models as one, for every decision and every asset of the plan."""
    horizon, grid = plan.task.horizon, plan.panel.frequency
    steps = plan.decisions[:, None] + np.arange(1, horizon + 1)
    cutoffs = grid.times(plan.decisions).astype("datetime64[us]")
    quantiles = np.full((len(cutoffs), len(plan.assets), horizon, len(plan.task.quantiles)), np.nan)
    for part in parts:
        rows = np.searchsorted(cutoffs, part.cutoffs)
        columns = np.array([plan.assets.index(one) for one in part.assets])
        quantiles[np.ix_(rows, columns)] = part.quantiles
    times = grid.times(steps.reshape(-1)).astype("datetime64[us]").reshape(steps.shape)
    return Predictions(name, plan.assets, cutoffs, times, parts[0].levels, quantiles)


def weigh(
    plan: Plan,
    refits: Sequence[Refit],
    said: Mapping[str, Predictions],
    *,
    held: Mapping[str, Doubles] | None = None,
) -> dict[str, Targets]:
    """The weights that every strategy decides on; `held` is what each holds before the first decision."""
    settings, returns = plan.settings, plan.returns
    rows = returns.positions >= plan.decisions[0] - settings.lookback + 1
    view = _view(plan, refits, said, rows)
    plans: dict[str, tuple[str, View | None]] = {EQUAL: ("equal", None), settings.rule: (settings.rule, None)}
    plans[TILTED.format(settings.rule)] = (settings.rule, view)
    return {
        name: walk_weights(
            returns.values[rows], times=returns.times[rows], assets=plan.assets, decide_every=settings.decide_every,
            lookback=settings.lookback, rule=rule, view=tilt, universe=plan.universe,
            options=plan.options(None if held is None else held[name]) if rule == settings.rule else None,
        )
        for name, (rule, tilt) in plans.items()
    }  # fmt: skip


def _trade(plan: Plan, refits: Sequence[Refit], said: Mapping[str, Predictions]) -> WalkForward:
    """Weights of every strategy and their ledgers."""
    settings, wide = plan.settings, to_wide(plan.prices)
    bars = wide.positions >= plan.decisions[0]
    costs = Costs(fee_bps=settings.fee_bps, half_spread_bps=settings.half_spread_bps)
    targets = weigh(plan, refits, said)
    ledgers = {
        name: backtest_weights(
            one.values, wide.values[bars], times=wide.times[bars], assets=plan.assets, decided=one.times, costs=costs,
            initial_cash=settings.initial_cash,
        )
        for name, one in targets.items()
    }  # fmt: skip
    trials, per_year = count_trials(refits, settings), plan.panel.frequency.periods_per_year
    return WalkForward(
        settings=settings,
        assets=plan.assets,
        returns=plan.returns,
        times=plan.returns.times[plan.decisions - plan.returns.positions[0]],
        refits=tuple(refits),
        predictions=said,
        targets={name: one.values for name, one in targets.items()},
        strategies=tell_strategies(ledgers, per_year, trials),
        trials=trials,
        periods_per_year=per_year,
        notes=(
            *plan.notes,
            *targets[settings.rule].notes,
            *(f"{name} was left out of a refit: {why}" for one in refits for name, why in one.board.failed.items()),
        ),
    )


def _view(plan: Plan, refits: Sequence[Refit], said: Mapping[str, Predictions], rows: npt.NDArray[np.bool_]) -> View:
    """The forecasts of each refit's winner at the decisions after it, with its skill; NaN where no model beat its
    floor."""
    shape = (int(rows.sum()), len(plan.assets))
    expected, uncertainty, skill = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape[0])
    start = int(plan.returns.positions[rows][0])
    for turn, one in enumerate(refits):
        cutoffs = plan.segment(turn)
        if one.winner is None or not len(cutoffs):
            continue
        places, decided = cutoffs.positions - start, np.searchsorted(plan.decisions, cutoffs.positions)
        expected[places] = said[one.winner].expected()[decided]
        uncertainty[places] = fill_spread(said[one.winner].spread()[decided])
        skill[places] = measure_validation(one.validations[one.winner]).used
    return View(expected=expected, uncertainty=uncertainty, skill=skill)


def count_trials(refits: Sequence[Refit], settings: WalkSettings) -> int:
    """Everything that was tried: floors and models once, the trials of every search, and what was tried before."""
    fixed = len({name for one in refits for name in (*one.fitted, *one.board.failed)})
    searched = sum(choice.tried for one in refits if one.searched for choice in one.chosen.values())
    return fixed + searched + settings.trials_before
