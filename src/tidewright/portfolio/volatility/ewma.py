"""Exponentially weighted volatility (J.P. Morgan, RiskMetrics Technical Document, 1996), ours, without a package."""

from __future__ import annotations

import math

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import VolatilitySpec
from tidewright.portfolio.volatility.outcome import Outcome, choose_backcast

LEAST, MOST = 0.5, 0.9999  # where a fitted decay is sought


def fit_ewma(spec: VolatilitySpec, returns: FloatArray) -> Outcome:
    """The outcome for returns [T]: v_t = decay v_t-1 + (1 - decay) e_t-1^2; decay given or of most likelihood."""
    mean = float(returns.mean()) if spec.mean == "constant" else 0.0
    squares = (returns - mean) ** 2
    backcast = choose_backcast(spec, returns - mean)
    if spec.decay == "fitted":
        from scipy.optimize import minimize_scalar

        decay = float(
            minimize_scalar(
                lambda decay: -_likelihood(squares, weigh_squares(squares, decay=decay, backcast=backcast)),
                bounds=(LEAST, MOST),
                method="bounded",
                options={"xatol": 1e-8},
            ).x
        )
    else:
        assert isinstance(spec.decay, float), "it is settled"
        decay = spec.decay
    variance = weigh_squares(squares, decay=decay, backcast=backcast)
    parameters = np.array([mean, decay] if spec.mean == "constant" else [decay])
    return Outcome(parameters, _likelihood(squares, variance), backcast, variance)


def weigh_squares(squares: FloatArray, *, decay: float, backcast: float) -> FloatArray:
    """The variance [T] of each bar from the squares [T] before it.

    >>> weigh_squares(np.array([0.0, 4.0, 0.0]), decay=0.5, backcast=2.0).tolist()
    [2.0, 1.0, 2.5]
    """
    from scipy.signal import lfilter

    before = np.concatenate(([backcast], squares[:-1]))
    start = np.array([decay * backcast])
    return np.asarray(lfilter([1.0 - decay], [1.0, -decay], before, zi=start)[0], dtype=np.float64)


def _likelihood(squares: FloatArray, variance: FloatArray) -> float:
    """The Gaussian log-likelihood."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = squares.size * math.log(2.0 * math.pi) + float(np.sum(np.log(variance) + squares / variance))
    return -0.5 * total
