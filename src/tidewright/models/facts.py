"""`PanelFacts`: what of a panel decides which models are worth trying, measured.

S series, T rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidewright.data.frequency import Ints
from tidewright.data.panel import Floats, Panel
from tidewright.data.task import Task

SAMPLE = 200  # series, evenly spread, that shapes are measured on


@dataclass(frozen=True, slots=True)
class PanelFacts:
    """Counts and shares of a panel.

    `windows` are the rows with a lookback of two seasons (ten rows at least) before them and the horizon after them.
    The strengths of trend and season, from 0 to 1, are Wang, Smith and Hyndman's (2006) after a classical
    decomposition; `noise_share` is the variance of what that leaves over the series' variance; `drift_share` is how
    much of the steps' movement the step before foretells (the size of the lag-1 autocorrelation of differences: a
    random walk has 0). All are medians over series; NaN where no series is long enough. `zero_share` is the share of
    zeros among all observed values, 0 where any is below 0: intermittent demand.
    """

    series: int
    rows: int
    median_length: int
    windows: int
    horizon: int
    lookback: int
    past: int
    known: int
    static: int
    missing_share: float
    season: int
    season_strength: float
    trend_strength: float
    noise_share: float
    drift_share: float
    zero_share: float = 0.0

    @property
    def covariates(self) -> int:
        """How many covariates of any kind there are."""
        return self.past + self.known + self.static


def measure_facts(panel: Panel, task: Task) -> PanelFacts:
    """The facts of a panel for a task; it reads the whole panel, so give it the training part where that matters."""
    lengths, season = panel.ends - panel.offsets[:-1] + 1, panel.frequency.season
    lookback = max(2 * season, 10)
    chosen = np.unique(np.linspace(0, panel.n_series - 1, min(panel.n_series, SAMPLE)).astype(np.int64))
    table = _measure_strengths(panel, chosen, season)
    medians = [float(np.nanmedian(column)) if np.isfinite(column).any() else float("nan") for column in table.T]
    return PanelFacts(
        series=panel.n_series,
        rows=int(lengths.sum()),
        median_length=int(np.median(lengths)),
        windows=int(np.maximum(lengths - lookback - task.horizon + 1, 0).sum()),
        horizon=task.horizon,
        lookback=lookback,
        past=len(panel.roles.past),
        known=len(panel.roles.known),
        static=len(panel.roles.static),
        missing_share=1.0 - float(np.isfinite(panel.target).sum() / lengths.sum()),
        season=season,
        season_strength=medians[0],
        trend_strength=medians[1],
        noise_share=medians[2],
        drift_share=medians[3],
        zero_share=_zero_share(panel.target),
    )


def _zero_share(values: Floats) -> float:
    seen = values[np.isfinite(values)]
    return float((seen == 0).mean()) if len(seen) and seen.min() >= 0 else 0.0


def _measure_strengths(panel: Panel, chosen: Ints, season: int) -> Floats:
    """Strengths of season and trend, noise share and drift share [len(chosen), 4]; gaps are bridged."""
    from tidewright.features.shape_kernels import bridge, describe
    from tidewright.features.strength_kernels import measure_strengths

    first, last, moments = describe(panel.target, panel.offsets[chosen], panel.ends[chosen] + 1)
    return np.asarray(measure_strengths(*bridge(panel.target, first, last, moments), season))
