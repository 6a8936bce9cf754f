"""Statistical models of statsforecast, each fitted on the history of one window. It is imported when it is first used.

N windows, L lookback, H horizon, Q quantiles. A window is fitted in a unit of a power of two that brings its mean near
2^15, so that another unit of the target changes no digit. statsforecast draws from numpy's one global generator, with a
seed of its own, where an interval has no formula: one fit at a time, and the generator is put back as it was.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np
from scipy.special import ndtri

from tidewright.features.windows import Doubles
from tidewright.models.conformal import put_in_order
from tidewright.models.ets_paths import draw_ets_paths
from tidewright.models.specs.statistical import MSTL, AutoARIMA, AutoCES, AutoETS, SeasonalSpec, Theta
from tidewright.optional import require

LONGEST_ETS = 24  # a longer season has more initial states than statsforecast's optimiser takes
R_LONG, R_SEASON = 150, 12  # auto.arima approximates beyond these
THETAS = {
    "auto": None, "standard": "STM", "optimised": "OTM", "dynamic": "DSTM", "dynamic_optimised": "DOTM",
}  # fmt: skip
REFUSALS = (ValueError, ArithmeticError, RuntimeError, IndexError)
UNFIT = ("no model able to be fitted", "Parameters out of range", "Inconsistent parameter boundaries")  # its words
SIZE = 16  # bits of a window's mean: theta's simplex stops by an absolute error, and so early where values are small
KEPT = "NIXTLA_NUMBA_CACHE"  # its switch, read when it is imported
NOISY = "statsforecast|statsmodels|scipy|numpy"
RESTARTS, LEAST_GAIN = 2, 1e-3  # of twice the log likelihood
_ALONE = Lock()


def fit_windows(
    past: Doubles, spec: SeasonalSpec, *, horizon: int, quantiles: tuple[float, ...]
) -> tuple[Doubles, dict[int, str]]:
    """The quantiles [N, H, Q] after histories [N, L], and why a row could not be fitted, by its number: it holds NaN.

    So does a row without an observed value. Raises `MissingExtraError` without statsforecast.
    """
    models = _load(spec.name)
    out = np.full((len(past), horizon, len(quantiles)), np.nan)
    failed: dict[int, str] = {}
    with _ALONE, _quiet(), _kept_generator(), restart_simplex():
        for number, row in enumerate(past):
            with _Refusal(number, failed):
                out[number] = _answer(models, spec, row=row, horizon=horizon, quantiles=quantiles)
    return np.asarray(put_in_order(out, median=quantiles.index(0.5))), failed


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Notes why a window could not be fitted; anything else is a defect, and goes on.

    statsforecast says that it found no model by a bare Exception, which no `except` catches alone.
    """

    number: int
    failed: dict[int, str]

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        unfit = kind is Exception and str(error) in UNFIT
        if not unfit and not isinstance(error, REFUSALS):
            return False
        self.failed[self.number] = f"{type(error).__name__}: {error}"
        return True


def _load(name: str) -> Any:
    """statsforecast's models; what it compiles is kept on disk, unless the user says otherwise: CES takes 25 s."""
    added = KEPT not in os.environ and "statsforecast" not in sys.modules
    if added:
        os.environ[KEPT] = "1"
    try:
        return require("statsforecast.models", extra="statistics", purpose=f"the model {name}")
    finally:
        if added:
            del os.environ[KEPT]


def bridge(row: Doubles) -> tuple[Doubles, int]:
    """The values from the first observed one to the last, gaps bridged by straight lines, and how many steps after it
    are missing.

    >>> bridge(np.array([np.nan, 1.0, np.nan, 3.0, np.nan]))
    (array([1., 2., 3.]), 1)
    """
    seen = np.flatnonzero(~np.isnan(row))
    if not len(seen):
        return np.empty(0), len(row)
    return np.interp(np.arange(seen[0], seen[-1] + 1), seen, row[seen]), len(row) - 1 - int(seen[-1])


def naive_quantiles(row: Doubles, *, horizon: int, quantiles: tuple[float, ...]) -> Doubles:
    """What stands in for a model that failed [H, Q]: the last observed value, and a random walk's normal intervals."""
    values, gap = bridge(row)
    spread = float(np.sqrt(np.mean(np.diff(values) ** 2))) if len(values) > 1 else 0.0
    ahead = np.sqrt(np.arange(1, horizon + 1) + gap)
    return np.asarray(values[-1] + spread * ahead[:, None] * ndtri(np.array(quantiles)))


def _answer(
    models: Any, spec: SeasonalSpec, *, row: Doubles, horizon: int, quantiles: tuple[float, ...]
) -> Doubles | float:
    values, gap = bridge(row)
    if not len(values):
        return float("nan")
    if values.min() == values.max():
        return float(values[0])
    power = int(np.frexp(np.abs(values).mean())[1]) - SIZE
    model = _make(models, spec, length=len(values))
    found = _forecast(model, np.ldexp(values, -power), steps=gap + horizon, quantiles=quantiles)
    answer = np.ldexp(found[gap:], power)
    if not np.isfinite(answer).all():
        raise ValueError("its forecast is not a finite number")
    return np.asarray(answer)


def _forecast(model: Any, values: Doubles, *, steps: int, quantiles: tuple[float, ...]) -> Doubles:
    """Quantiles [steps, Q] of a model fitted on the values; the median is its point forecast."""
    widths = [round(100.0 * abs(1.0 - 2.0 * level), 9) for level in quantiles]
    fitted = model.fit(values)
    known: Any = getattr(fitted, "model_", None)
    components = known.get("components", "") if isinstance(known, Mapping) else ""
    if "M" in components:
        answer = np.quantile(draw_ets_paths(known, steps=steps), quantiles, axis=0).T
        answer[:, quantiles.index(0.5)] = fitted.predict(h=steps)["mean"]
        return np.asarray(answer)
    # statsforecast widens all steps of an additive season by the seasons of the whole horizon: one block, one season
    season = int(known["m"]) if components[:1] == "A" and components[2:3] == "A" else steps
    parts = []
    for start in range(0, steps, season):
        end = min(start + season, steps)
        found = fitted.predict(h=end, level=sorted({width for width in widths if width > 0}) or [50.0])
        keys = [f"{'lo' if q < 0.5 else 'hi'}-{width}" for q, width in zip(quantiles, widths, strict=True)]
        columns = [found["mean" if q == 0.5 else key] for q, key in zip(quantiles, keys, strict=True)]
        parts.append(np.column_stack(columns)[start:end])
    return np.concatenate(parts)


def _make(models: Any, spec: SeasonalSpec, *, length: int) -> Any:
    """The model of statsforecast for a window of so many values; a season that it does not hold twice is left out."""
    if isinstance(spec, MSTL):
        return _make_mstl(models, spec, length=length)
    season = int(spec.season or 1)
    season = season if length >= 2 * season else 1
    if isinstance(spec, AutoARIMA):
        return models.AutoARIMA(
            season_length=season,
            max_p=spec.max_p,
            max_q=spec.max_q,
            max_P=spec.max_seasonal,
            max_Q=spec.max_seasonal,
            start_p=min(2, spec.max_p),
            start_q=min(2, spec.max_q),
            start_P=min(1, spec.max_seasonal),
            start_Q=min(1, spec.max_seasonal),
            approximation=spec.approximate and (length > R_LONG or season > R_SEASON),
        )
    if isinstance(spec, AutoETS):
        season = season if season <= LONGEST_ETS else 1
        form = spec.form if season > 1 else f"{spec.form[:2]}N"
        return models.AutoETS(season_length=season, model=form, damped=spec.damped)
    if isinstance(spec, AutoCES):
        return models.AutoCES(season_length=season, model=spec.form)
    assert isinstance(spec, Theta)
    return models.AutoTheta(season_length=season, model=THETAS[spec.form], decomposition_type=spec.decomposition)


def _make_mstl(models: Any, spec: MSTL, *, length: int) -> Any:
    trend = models.AutoETS(model="ZZN") if spec.trend == "ets" else models.AutoTheta(season_length=1)
    seasons = [season for season in spec.seasons if length >= 2 * season]
    return models.MSTL(season_length=seasons, trend_forecaster=trend) if seasons else trend


@contextmanager
def _quiet() -> Iterator[None]:
    """What these packages warn of inside the block stays unsaid: a fit that ends badly is told by its answer."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=NOISY)
        yield


@contextmanager
def restart_simplex() -> Iterator[None]:
    """Inside the block statsforecast's simplex for ETS starts again where it ended, as long as that gains.

    Its one start ends early: on AirPassengers at an AIC of 1454, where this comes to 1386, and to statsmodels' numbers.
    """
    ets: Any = import_module("statsforecast.ets")
    once = ets.optimize_ets_target_fn

    def again(**given: Any) -> Any:
        best = once(**given)
        for _ in range(RESTARTS):
            found = once(**{**given, "x0": best.x})
            gain, best = best.fn - found.fn, found if found.fn <= best.fn else best
            if not gain > LEAST_GAIN:
                break
        return best

    ets.optimize_ets_target_fn = again
    try:
        yield
    finally:
        ets.optimize_ets_target_fn = once


@contextmanager
def _kept_generator() -> Iterator[None]:
    state = np.random.get_state()  # statsforecast seeds the global one
    try:
        yield
    finally:
        np.random.set_state(state)  # likewise
