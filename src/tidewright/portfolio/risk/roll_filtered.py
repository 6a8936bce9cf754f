"""Rolling filtered historical simulation: parameters held between fits, volatility of every bar. T bars, A assets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tidewright.errors import FallbackWarning, FitError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.historical import Historical
from tidewright.portfolio.volatility.fit import fit_volatility


def roll_filtered(
    values: FloatArray, *, names: tuple[str, ...], window: int, confidence: float, every: int, options: dict[str, Any]
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """VaR and ES [T, A], and what to say of fits that failed, whose bars are NaN.

    Each fit takes the `window` bars before it; the shocks of these stand for those to come until the next one, on a
    volatility that is told anew from every bar before.
    """
    var, es = np.full_like(values, np.nan), np.full_like(values, np.nan)
    failed: list[str] = []
    for bar in range(window, len(values), every):
        past, ahead = values[bar - window : bar], values[bar : bar + every]
        whole = np.flatnonzero(np.isfinite(past).all(axis=0) & (np.ptp(past, axis=0) > 0.0))
        if whole.size:
            found = _hold(
                np.ascontiguousarray(past[:, whole]),
                ahead[:, whole],
                names=[names[k] for k in whole],
                bar=bar,
                confidence=confidence,
                options=options,
                failed=failed,
            )
            var[bar : bar + every, whole], es[bar : bar + every, whole] = found
    return var, es, tell_failed(failed)


def tell_failed(failed: Sequence[str]) -> tuple[str, ...]:
    """A note and a warning of fits that failed, with the first of them; nothing where none did."""
    if not failed:
        return ()
    note = f"{len(failed)} fits failed and left their bars without a VaR, the first of {failed[0]}"
    warnings.warn(note, FallbackWarning, stacklevel=4)
    return (note,)


def _hold(
    past: FloatArray,
    ahead: FloatArray,
    *,
    names: list[str],
    bar: int,
    confidence: float,
    options: dict[str, Any],
    failed: list[str],
) -> tuple[FloatArray, FloatArray]:
    """VaR and ES of the bars ahead [E, A]; NaN after a bar ahead that has no return."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # told once for all bars, above
        try:
            fit = fit_volatility(past, assets=names, **options)
        except FitError as error:
            failed += [f"{name!r} at row {bar}: {error}" for name in names]
            nothing = np.full_like(ahead, np.nan)
            return nothing, nothing.copy()
        failed += [f"{name!r} at row {bar}: {why}" for name, why in fit.failures.items()]
        whole = np.concatenate([past, np.nan_to_num(ahead)])
        volatility = fit.apply(whole).volatility[len(past) :]
    mean = past[0] - fit.volatility[0] * fit.residuals[0]
    missing = np.isnan(ahead)
    lost = (np.cumsum(missing, axis=0) - missing > 0) | ~fit.converged
    tails = Historical(confidence).measure(np.where(fit.converged, fit.residuals, 0.0))
    level, beyond = (-mean + volatility * score for score in (tails.var, tails.es))
    return np.where(lost, np.nan, level), np.where(lost, np.nan, beyond)
