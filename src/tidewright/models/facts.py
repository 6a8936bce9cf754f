"""`PanelFacts`: what of a panel decides which models are worth trying, measured.

S series, T rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from tidewright.data.panel import Floats, Panel
from tidewright.data.task import Task

SAMPLE = 200  # series, evenly spread, that shapes are measured on
LEAST_CYCLES = 3  # seasons that a series needs for its season to be measured


@dataclass(frozen=True, slots=True)
class PanelFacts:
    """Counts and shares of a panel.

    `windows` are the rows with a lookback of two seasons (ten rows at least) before them and the horizon after them.
    The strengths of trend and season, from 0 to 1, are Wang, Smith and Hyndman's (2006) after a classical
    decomposition; `noise_share` is the variance of what that leaves over the series' variance; `drift_share` is how
    much of the steps' movement the step before foretells (the size of the lag-1 autocorrelation of differences: a
    random walk has 0). All are medians over series; NaN where no series is long enough.
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

    @property
    def covariates(self) -> int:
        """How many covariates of any kind there are."""
        return self.past + self.known + self.static


def measure_facts(panel: Panel, task: Task) -> PanelFacts:
    """The facts of a panel for a task; it reads the whole panel, so give it the training part where that matters."""
    lengths, season = panel.ends - panel.offsets[:-1] + 1, panel.frequency.season
    lookback = max(2 * season, 10)
    chosen = np.unique(np.linspace(0, panel.n_series - 1, min(panel.n_series, SAMPLE)).astype(np.int64))
    shapes = [_shape(panel.target[panel.offsets[s] : panel.ends[s] + 1], season) for s in chosen]
    table = np.array([shape for shape in shapes if shape is not None]).reshape(-1, 4)
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
    )


def _shape(values: Floats, season: int) -> tuple[float, float, float, float] | None:
    """Strengths of season and trend, noise share and drift share of one series; gaps are bridged by straight lines."""
    width = season if season > 1 else 7
    seen = np.flatnonzero(np.isfinite(values))
    if len(seen) < LEAST_CYCLES * width:
        return None
    filled = np.interp(np.arange(seen[0], len(values)), seen, values[seen])
    spread = float(filled.var())
    if spread == 0:
        return None
    trend, rest = _split_trend(filled, width)
    places = np.arange(len(rest)) % season
    cycle = (np.bincount(places, weights=rest) / np.bincount(places))[places] if season > 1 else np.zeros(len(rest))
    noise = float((rest - cycle).var())
    strong_season = max(0.0, 1.0 - noise / float(rest.var())) if season > 1 and rest.var() > 0 else float("nan")
    whole = float((trend + rest - cycle).var())
    strong_trend = max(0.0, 1.0 - noise / whole) if whole > 0 else 0.0
    steps = np.diff(filled)
    drift = abs(float(np.corrcoef(steps[:-1], steps[1:])[0, 1])) if steps[:-1].std() * steps[1:].std() > 0 else 1.0
    return strong_season, strong_trend, min(noise / spread, 1.0), drift


def _split_trend(values: Floats, width: int) -> tuple[Floats, Floats]:
    """The centred moving average over one season (two half weights at the ends where it is even), and the rest."""
    smooth = uniform_filter1d(values, width, mode="nearest")
    if width % 2 == 0:
        smooth = 0.5 * (smooth + uniform_filter1d(values, width, mode="nearest", origin=-1))
    inside = slice(width // 2, len(values) - width // 2)
    trend: Floats = smooth[inside]
    return trend, np.asarray(values[inside] - trend)
