"""Weights decided bar after bar, each from the past alone. T bars, A assets, D decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.allocate import Rule
from tidewright.portfolio.decision import Decider, drift, read_start
from tidewright.portfolio.eligible import Places, choose_eligible
from tidewright.portfolio.forecasts.tilt import tilt_by_forecast
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    name_time,
    read_assets,
    read_matrix,
    read_prices,
    read_times,
)
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.show import show, time_column
from tidewright.portfolio.universe import Universe
from tidewright.portfolio.weights import Weights

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Forecasts that may tilt weights: row t is what was known after bar t.

    `expected` [T, A] are forecast returns and `uncertainty` [T, A] their standard deviations; a row of NaN
    in `expected` is no view at that bar. `skill` is the information coefficient, 0 to 1, as one number
    (measured before the first bar) or [T] (measured up to each bar). See `tilt_by_forecast` for `strength`
    and `max_multiple`.
    """

    expected: ArrayLike
    uncertainty: ArrayLike
    skill: float | ArrayLike
    strength: float = 1.0
    max_multiple: float = 2.0

    def __repr__(self) -> str:
        return show(self)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Target weights `values` [D, A] of `assets`, and the bars `times` [D] at whose close each was decided.

    They go to the backtest as `backtest_weights(targets.values, prices, decided=targets.times, ...)`.
    `tilted` [D] says which decisions were moved by a forecast. `notes` are what holds for the whole walk and
    `decision_notes` [D] what each decision chose, mended or left out.
    """

    times: TimeArray
    assets: tuple[str, ...]
    values: FloatArray
    tilted: tuple[bool, ...]
    method: str
    notes: tuple[str, ...] = ()
    decision_notes: tuple[tuple[str, ...], ...] = ()

    def __repr__(self) -> str:
        return show(self)

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row a decision, with its time and a column of weights an asset."""
        import polars as pl

        weights = {name: self.values[:, place] for place, name in enumerate(self.assets)}
        return pl.DataFrame(time_column(self.times, rows=len(self.times)) | weights)

    def latest(self) -> Weights:
        """The weights of the last decision."""
        total = float(self.values[-1].sum())
        net = 1.0 if abs(total - 1.0) <= 1e-9 else total
        notes = self.decision_notes[-1] if self.decision_notes else ()
        return Weights(assets=self.assets, values=self.values[-1], method=self.method, net=net, notes=notes)


def walk_weights(
    returns: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str] | None = None,
    decide_every: int,
    lookback: int,
    rule: str | Rule = "hrp",
    view: View | None = None,
    universe: Universe | None = None,
    options: Mapping[str, Any] | None = None,
) -> Targets:
    """Weights decided every `decide_every` bars from the `lookback` latest returns, the bar's own included.

    `returns` [T, A] are simple returns; row t is known after the close of `times[t]`. The first decision is
    at row lookback - 1. `rule` is a name of `RULES` or a function like them, and `options` its own (`covariance`,
    `limits`, `costs` ...). Limits hold for every decision, also one that a view tilts. Trades are counted from the last
    decision, moved by the returns since, and at the first from `options["previous"]`: without it a limit on turnover
    does not bind there, and costs count from cash. A `view` tilts each decision by its row.

    With a `universe` an asset gets weight only where it was a member at the decision and has all of the lookback's
    returns, which may be NaN elsewhere, and some variance; who was left out stands in the notes.

    >>> rng = np.random.default_rng(1)
    >>> days = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    >>> returns = rng.normal(0, 0.01, (60, 2))
    >>> walk = walk_weights(returns, times=days, assets=("A", "B"), decide_every=20, lookback=30)
    >>> walk.times.astype(str).tolist(), walk.values.sum(axis=1).round(12).tolist()
    (['2024-01-30', '2024-02-19'], [1.0, 1.0])
    """
    values = read_matrix(returns, noun="returns")
    stamps = read_times(times, rows=values.shape[0])
    names = read_assets(name_assets(returns, assets), columns=values.shape[1])
    _check_schedule(decide_every, lookback=lookback, rows=values.shape[0])
    forecasts = None if view is None else _read_view(view, shape=values.shape)
    rows = range(lookback - 1, values.shape[0], decide_every)
    windows = [slice(row - lookback + 1, row + 1) for row in rows]
    eligible = choose_eligible(values, times=stamps, assets=names, windows=windows, universe=universe)
    chosen = dict(options or {})
    held = read_start(chosen.pop("previous", None), names=names)
    decider = Decider(rule, options=chosen, names=names, stamps=stamps, values=values)
    bases: list[Weights] = []
    decisions: list[Weights] = []
    table = np.zeros((len(rows), len(names)))
    for number, (row, window, places) in enumerate(zip(rows, windows, eligible.places, strict=True)):
        if number and decider.heeds_held:
            held = drift(table[number - 1], grown=values[rows[number - 1] + 1 : row + 1])
        base = decider.decide(window, places=places, held=held)
        weights = _tilt(base, view=forecasts, row=row, places=places, stamps=stamps)
        if weights is not base:
            weights = decider.keep_limits(weights, window, places=places, held=held)
        bases.append(base)
        decisions.append(weights)
        table[number, places] = weights.values
    return Targets(
        times=stamps[list(rows)],
        assets=names,
        values=table,
        tilted=tuple(weights is not base for weights, base in zip(decisions, bases, strict=True)),
        method=bases[0].method if view is None else f"{bases[0].method}+forecast",
        notes=eligible.summary + decider.tell_fixed(),
        decision_notes=tuple(
            left_out + weights.notes for left_out, weights in zip(eligible.notes, decisions, strict=True)
        ),
    )


def returns_from_prices(prices: ArrayLike, *, times: ArrayLike, assets: Sequence[str] | None = None) -> FloatArray:
    """Simple returns [T - 1, A] of prices [T, A]; row t belongs to times[t + 1]. NaN where a price is.

    >>> days = np.arange("2024-01-01", "2024-01-04", dtype="datetime64[D]")
    >>> returns_from_prices([[10.0], [11.0], [5.5]], times=days, assets=("A",)).round(6).tolist()
    [[0.1], [-0.5]]
    """
    table = read_matrix(prices, noun="prices")
    stamps = read_times(times, rows=len(table))
    values = read_prices(table, assets=name_assets(prices, assets, noun="prices"), times=stamps)
    with np.errstate(over="ignore"):
        return values[1:] / values[:-1] - 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _ReadView:
    expected: FloatArray
    uncertainty: FloatArray
    skill: FloatArray
    strength: float
    max_multiple: float


def _check_schedule(decide_every: int, *, lookback: int, rows: int) -> None:
    if decide_every < 1:
        raise AllocationError(f"decide_every is {decide_every}; it is a number of bars, at least 1.")
    if lookback < 2:
        raise AllocationError(f"lookback is {lookback}; weights need at least 2 rows of returns.")
    if rows < lookback:
        raise AllocationError(
            f"{rows} rows of returns are fewer than the lookback of {lookback}. Ask for a shorter one or bring more."
        )


def _read_view(view: View, *, shape: tuple[int, ...]) -> _ReadView:
    expected = np.asarray(view.expected, dtype=np.float64)
    uncertainty = np.asarray(view.uncertainty, dtype=np.float64)
    for noun, values in (("expected returns", expected), ("uncertainties", uncertainty)):
        if values.shape != shape:
            raise AllocationError(f"the view's {noun} have the shape {values.shape}, the returns {shape}. Align them.")
    skill = np.asarray(view.skill, dtype=np.float64)
    if skill.shape not in ((), shape[:1]):
        raise AllocationError(f"the view's skill has the shape {skill.shape}; give one number, or one a bar.")
    skill = np.broadcast_to(skill, shape[:1])
    return _ReadView(expected, uncertainty, skill, view.strength, view.max_multiple)


def _tilt(base: Weights, *, view: _ReadView | None, row: int, places: Places, stamps: TimeArray) -> Weights:
    if view is None or np.isnan(view.expected[row, places]).all():
        return base
    try:
        return tilt_by_forecast(
            base,
            expected=view.expected[row, places],
            uncertainty=view.uncertainty[row, places],
            skill=float(view.skill[row]),
            strength=view.strength,
            max_multiple=view.max_multiple,
        )
    except AllocationError as error:
        raise AllocationError(f"the view of {name_time(stamps, row=row)}: {error}") from error
