"""The tail of a sample as it is: n outcomes, A assets, K portfolios.

The value at risk at confidence c is the least loss z with P(loss <= z) >= c, the ceil(n c)-th smallest of n losses,
without interpolation. The expected shortfall is the mean of the worst 1 - c of the probability, where the outcome at
the value at risk counts with the fraction of it that belongs to the tail.
Source: Rockafellar and Uryasev 2002, Conditional Value-at-Risk for General Loss Distributions, proposition 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.record import Tails

_ROUNDING = 1e-9  # of n c: 0.95 * 1000 is not 950 in every last bit
_SAME = 1e-12  # of the largest value
_ROOM = 4_000_000  # numbers that are sorted at a time


@dataclass(frozen=True, slots=True)
class Historical:
    """The tail of equally likely outcomes: of the past, or of a simulation.

    >>> two = Historical(confidence=0.6).measure(np.array([[-0.04, 0.01], [-0.02, 0.01], [0.01, 0.01], [0.03, -0.05]]))
    >>> two.var.tolist(), two.es.round(6).tolist()
    ([0.02, -0.01], [0.0325, 0.0275])
    """

    confidence: float

    def measure(self, outcomes: FloatArray, *, loadings: FloatArray | None = None, names: Sequence[str] = ()) -> Tails:
        """The tails of each asset, or of portfolios."""
        parts = [_measure(columns, self.confidence) for columns in _columns(outcomes, loadings)]
        return Tails(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))

    def split(self, outcomes: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The expected return of each asset where the portfolio loses its VaR, and where it loses at least that.

        The second is the mean of the tail's outcomes. The first is a local line through the outcomes around the value
        at risk: one outcome alone, which is the derivative in the sample, would be noise.
        Source: Tasche 1999, Risk Contributions and Performance Measurement.
        """
        earned = outcomes @ weights
        order = np.argsort(earned, kind="stable")
        worst, share = tail_counts(len(order), self.confidence)
        tail = np.full(worst, 1.0 / (len(order) * (1.0 - self.confidence)))
        tail[-1] = share
        reach = int(worst**0.75)
        band = order[max(worst - 1 - reach, 0) : worst + reach]
        at = float(earned[order[worst - 1]])
        return -(line_weights(earned[band], at=at) @ outcomes[band]), -(tail @ outcomes[order[:worst]])


def tail_counts(outcomes: int, confidence: float) -> tuple[int, float]:
    """How many of the worst outcomes make the tail, and the weight of the mildest of these in its mean.

    >>> tail_counts(100, 0.95)
    (6, 0.0)
    >>> tail_counts(30, 0.95)[0], round(tail_counts(30, 0.95)[1], 6)
    (2, 0.333333)
    """
    place = max(math.ceil(outcomes * confidence - _ROUNDING), 1)
    share = max(place / outcomes - confidence, 0.0) / (1.0 - confidence)
    return outcomes - place + 1, share if share > _ROUNDING else 0.0


def line_weights(values: FloatArray, *, at: float) -> FloatArray:
    """Weights that sum to one and whose mean of `values` is `at`: a least squares line's reading there."""
    centred = values - values.mean()
    spread = float(centred @ centred)
    rounding = len(values) * (_SAME * float(np.abs(values).max())) ** 2  # values that differ by it alone have no slope
    tilt = (at - values.mean()) / spread if spread > rounding else 0.0
    return np.asarray(1.0 / len(values) + tilt * centred)


def _columns(outcomes: FloatArray, loadings: FloatArray | None) -> Iterator[FloatArray]:
    """The outcomes of assets or portfolios, as many at a time as there is room for."""
    count = outcomes.shape[1] if loadings is None else loadings.shape[1]
    step = max(_ROOM // len(outcomes), 1)
    for first in range(0, count, step):
        some = slice(first, first + step)
        yield outcomes[:, some] if loadings is None else outcomes @ loadings[:, some]


def _measure(columns: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    count = len(columns)
    worst, share = tail_counts(count, confidence)
    tail = np.partition(columns, worst - 1, axis=0)[:worst]
    at = tail[-1]
    beyond = tail[:-1].sum(axis=0) / (count * (1.0 - confidence))
    return -at, np.maximum(-(beyond + share * at), -at)  # rounding alone could put it below
