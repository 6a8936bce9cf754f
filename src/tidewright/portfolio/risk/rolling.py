"""Value at risk of each bar from the bars strictly before it: what a desk would have said. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tidewright.checks import check_whole
from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    read_assets,
    read_matrix,
    read_times,
)
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.risk.historical import tail_counts
from tidewright.portfolio.risk.measure import check_confidence, check_options
from tidewright.portfolio.risk.normal import normal_scores
from tidewright.portfolio.risk.plans import PLANS
from tidewright.portfolio.risk.read import refuse_returns
from tidewright.portfolio.risk.record import RiskMethod, freeze_arrays
from tidewright.portfolio.risk.roll_filtered import roll_filtered, tell_failed
from tidewright.portfolio.risk.roll_normal import roll_moments
from tidewright.portfolio.show import show, time_column

if TYPE_CHECKING:
    import polars as pl


LEFT_OUT = {"filtered_historical": ("draws", "seed")}  # options that mean nothing for one bar


@dataclass(frozen=True, slots=True, eq=False)
class RollingRisk:
    """Value at risk `var` and expected shortfall `es` [T, A] of each bar, as positive losses.

    Row t is told from rows t - window to t - 1 alone. NaN in the first `window` rows, and where one of these bars has
    no return.
    """

    assets: tuple[str, ...]
    times: TimeArray | None
    method: RiskMethod
    confidence: float
    window: int
    var: FloatArray
    es: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze_arrays(self)

    def __repr__(self) -> str:
        return show(self)

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row a bar and asset, in order of time; without times a bar has its row's number."""
        import polars as pl

        bars, count = self.var.shape
        first = {name: np.repeat(values, count) for name, values in time_column(self.times, rows=bars).items()}
        return pl.DataFrame(first | {"asset": self.assets * bars, "var": self.var.ravel(), "es": self.es.ravel()})


def rolling_var(
    returns: ArrayLike,
    *,
    assets: Sequence[str] | None = None,
    window: int,
    times: ArrayLike | None = None,
    confidence: float = 0.95,
    method: RiskMethod = "historical",
    every: int = 1,
    **options: Any,
) -> RollingRisk:
    """The one-bar VaR and ES of every bar of simple returns [T, A], each from the `window` bars strictly before it.

    Historical and normal take all assets and bars in one pass. The other methods, and options, are those of
    `value_at_risk`; they are estimated anew every so many bars and hold until then, but for filtered_historical, whose
    volatility follows each bar. A missing return (NaN) leaves the bars without a VaR whose window it is in.

    >>> returns = np.array([[-0.04], [0.01], [-0.02], [0.03], [0.02]])
    >>> rolling_var(returns, assets=("A",), window=3, confidence=0.6).var.ravel().tolist()
    [nan, nan, nan, 0.02, -0.01]
    """
    check_confidence(confidence)
    check_options(method, options, left_out=LEFT_OUT.get(method, ("horizon_by",)))
    check_whole("every", every)
    names = name_assets(returns, assets)
    values, stamps = _read(returns, assets=names, times=times)
    check_whole("window", window, least=2, most=10_000_000)
    if window >= len(values):
        raise AllocationError(
            f"a window of {window} bars leaves none of the {len(values)} bars to judge. Ask for a shorter window, or "
            "bring more bars."
        )
    notes: tuple[str, ...] = (f"estimated anew every {every} bars",) if every > 1 else ()
    if method in ("historical", "normal") and not options and every == 1:
        var, es = _roll_fast(values, window=window, confidence=confidence, method=method)
    elif method == "filtered_historical":
        _check_window(window, confidence=confidence)
        var, es, failed = roll_filtered(
            values, names=names, window=window, confidence=confidence, every=every, options=options
        )
        notes += failed
    else:
        var, es, failed = _roll_plans(
            values, names=names, window=window, confidence=confidence, method=method, every=every, options=options
        )
        notes += failed
    return RollingRisk(names, stamps, method, confidence, window, var, es, notes)


def _read(
    returns: ArrayLike, *, assets: tuple[str, ...], times: ArrayLike | None
) -> tuple[FloatArray, TimeArray | None]:
    values = read_matrix(returns, noun="returns")
    names = read_assets(assets, columns=values.shape[1])
    stamps = None if times is None else read_times(times, rows=len(values))
    refuse_returns(values, assets=names, times=stamps)
    return values, stamps


def _roll_fast(values: FloatArray, *, window: int, confidence: float, method: str) -> tuple[FloatArray, FloatArray]:
    """Historical or normal, of all assets and bars in one pass."""
    missing = np.isnan(values)
    gaps = bool(missing.any())
    if method == "normal":
        mean, deviation = roll_moments(np.where(missing, 0.0, values) if gaps else values, window=window)
        score, beyond = normal_scores(confidence)
        var, es = score * deviation - mean, beyond * deviation - mean
    else:
        _check_window(window, confidence=confidence)
        var, es = _roll_sample(
            np.where(missing, np.inf, values) if gaps else values, window=window, confidence=confidence
        )
    if gaps:
        seen = np.cumsum(missing, axis=0)
        lacking = seen[window - 1 : -1] > np.concatenate([np.zeros_like(seen[:1]), seen[: -window - 1]])
        var[window:][lacking] = es[window:][lacking] = np.nan
    return var, es


def _roll_sample(values: FloatArray, *, window: int, confidence: float) -> tuple[FloatArray, FloatArray]:
    from tidewright.portfolio.risk.roll_kernels import roll_sample

    rows = np.ascontiguousarray(values.T)
    var, es = np.full_like(rows, np.nan), np.full_like(rows, np.nan)
    roll_sample(rows, window, *tail_counts(window, confidence), confidence, var, es)
    return np.ascontiguousarray(var.T), np.ascontiguousarray(es.T)


def _check_window(window: int, *, confidence: float) -> None:
    if window * (1.0 - confidence) < 1.0 - 1e-9:
        raise AllocationError(
            f"of {window} bars {window * (1.0 - confidence):.2g} are expected beyond a confidence of {confidence:g}; "
            "at least one is needed. Ask for a longer window or a lower confidence, or take method='normal'."
        )


def _roll_plans(
    values: FloatArray,
    *,
    names: tuple[str, ...],
    window: int,
    confidence: float,
    method: RiskMethod,
    every: int,
    options: dict[str, Any],
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Any method, each asset where its window is whole and moves; a refusal costs the asset its bars, and is told."""
    var, es = np.full_like(values, np.nan), np.full_like(values, np.nan)
    failed: list[str] = []

    def measure(past: FloatArray, assets: Sequence[int], *, bar: int) -> None:
        some = tuple(names[asset] for asset in assets)
        try:
            plan = PLANS[method](past, assets=some, confidence=confidence, horizon=1, **options)
            tails = plan.tail.measure(plan.outcomes, names=some)
        except AllocationError as error:
            if len(assets) == 1:
                failed.append(f"{some[0]!r} at row {bar}: {error}")
                return
            for place, asset in enumerate(assets):
                measure(np.ascontiguousarray(past[:, place : place + 1]), [asset], bar=bar)
            return
        held = slice(bar, bar + every)
        var[held, assets], es[held, assets] = tails.var, tails.es

    for bar in range(window, len(values), every):
        past = values[bar - window : bar]
        whole = np.flatnonzero(np.isfinite(past).all(axis=0) & (np.ptp(past, axis=0) > 0.0))
        if whole.size:
            measure(np.ascontiguousarray(past[:, whole]), whole.tolist(), bar=bar)
    return var, es, tell_failed(failed)
