"""`Monitoring`: what a look at a deployed model found: tests, scores over time, and alerts as events."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.inference.drift import Tested
from tidewright.registry.reference import Answered, Reference

Kind = Literal["input", "missing", "prediction", "error", "coverage"]
_WORDS = {
    "psi": "its distribution over bins differs (PSI {:.2f})",
    "ks": "its distribution differs (KS distance {:.2f})",
    "mmd": "the columns together differ (MMD {:.2g})",
}
_MEANS = {
    "missing": "the share of missing values moved by {:+.1%}",
    "error": "the mean absolute error grew by {:+.2f} standard deviations of a series",
    "coverage": "the share of values inside the interval moved by {:+.1%}",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something drifted: what (`kind`), which `column`, by which test, with which figures; `until` is the last live
    time. `adjusted` is the p-value after the correction for all tests of the look.
    """

    kind: Kind
    column: str
    test: str
    statistic: float
    p_value: float
    adjusted: float
    until: str
    message: str


Listener = Callable[[Alert], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One test of a look: of what `kind`, of which `column`, its `name` (psi, ks, mmd or mean), and what came of it."""

    kind: Kind
    column: str
    name: str
    test: Tested
    adjusted: float | None = None
    alarm: bool = False
    note: str = ""

    def adjust(self, value: float, *, false_alarms: float, tests: int) -> Check:
        """The check with its adjusted p-value (NaN: none), and whether it alarms."""
        if math.isnan(value):
            return replace(self, note=self.test.reason)
        blind = self.test.least * tests > false_alarms
        note = f"so few blocks give no p-value below {self.test.least:.2g}: nothing could be found" if blind else ""
        return replace(self, adjusted=value, alarm=value <= false_alarms, note=note)

    def describe(self) -> str:
        """What differs, in words."""
        text = _WORDS.get(self.name) or _MEANS[self.kind]
        adjusted = "" if self.adjusted is None else f", adjusted p {self.adjusted:.2g}"
        what = self.kind if self.kind == self.column else f"{self.kind} {self.column}"
        return f"{what}: {text.format(self.test.statistic)}{adjusted}"


@dataclass(frozen=True, slots=True)
class Score:
    """One block of time: when its first value came, how many came, the mean absolute error in standard deviations of a
    series, the share inside the interval, and the band `low` to `high` in which that share lies if it is as it was on
    validation. NaN where there is none.
    """

    time: str
    count: int
    error: float
    coverage: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A look at the values from `first` to `last`, `blocks` blocks of `block` steps; see `monitor`.

    `errors_by_step` are the mean errors at each step ahead, on validation and live. `nominal` is the coverage that the
    levels promise.
    """

    model: str
    digest: str
    first: str
    last: str
    blocks: int
    block: int
    checks: tuple[Check, ...]
    scores: tuple[Score, ...]
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
    false_alarms: float
    nominal: float | None
    errors_by_step: tuple[tuple[float, float], ...]

    @property
    def drifted(self) -> bool:
        """Whether anything alarmed."""
        return bool(self.alerts)


def score_over_time(
    reference: Reference, live: tuple[Answered, npt.NDArray[Any]], panel: Panel, *, start: int, false_alarms: float
) -> tuple[Score, ...]:
    """The error and the coverage of each live block of answers, counted by cutoff from position `start`.

    The band is binomial, around the coverage on validation, with as many independent values as its blocks there show
    that there are: values that hang together are fewer than they look.
    """
    answered, blocks = live
    inside = reference.inside
    known = ~np.isnan(inside)
    usual = float(inside[known].mean()) if known.any() else math.nan
    effect = _find_effect(reference)
    found = []
    for place in np.unique(blocks):
        mine = blocks == place
        error, held = answered.error[mine], answered.inside[mine]
        count = int((~np.isnan(error)).sum())
        if not count:
            continue
        hits = held[~np.isnan(held)]
        low, high = _band(usual, hits.size / effect, false_alarms=false_alarms)
        found.append(
            Score(
                time=panel.time_at(start + 1 + int(place) * reference.answer_steps),
                count=count,
                error=float(np.nanmean(error)),
                coverage=float(hits.mean()) if hits.size else math.nan,
                low=low,
                high=high,
            )
        )
    return tuple(found)


def _find_effect(reference: Reference) -> float:
    """How many values are worth one, from how much the coverage of blocks varies on validation: at least 1."""
    shares, counts = [], []
    for place in np.unique(reference.answer_block):
        hits = reference.inside[reference.answer_block == place]
        hits = hits[~np.isnan(hits)]
        if hits.size:
            shares.append(float(hits.mean()))
            counts.append(hits.size)
    if len(shares) < 3:
        return 1.0
    total = float(np.average(shares, weights=counts))
    binomial = total * (1 - total) / float(np.mean(counts))
    return max(float(np.var(shares, ddof=1)) / binomial, 1.0) if binomial > 0 else 1.0


def _band(share: float, count: float, *, false_alarms: float) -> tuple[float, float]:
    """The binomial band of a share of `count` values."""
    if math.isnan(share) or count < 1:
        return math.nan, math.nan
    from scipy.stats import binom

    size = int(count)
    low, high = binom.ppf([false_alarms / 2, 1 - false_alarms / 2], size, share)
    return float(low) / size, float(high) / size
