"""The shape of many series as one table: moments, correlations, spectrum, scaling, wavelets, strengths.

S series, C columns. Each number is of one series alone, from its first to its last observed row. Moments are of the
observed values; all else needs an even grid, so missing rows between observed ones are bridged by straight lines. NaN
(null in a table) is what can't be measured: too few rows, or a series that does not move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.frequency import Ints
from tidewright.data.panel import Floats, Panel, check_panel
from tidewright.errors import ColumnError, ConfigError

BLOCK = 1 << 20  # rows that are worked on at once: bounds memory
MOST_LEVELS = 16
_MOMENTS = ("count", "missing_share", "mean", "std", "skewness", "kurtosis")
_SPECTRUM = ("spectral_entropy", "spectral_slope", "hurst_whittle")
_SCALING = ("dfa", "hurst_rs")
_STRENGTHS = ("season_strength", "trend_strength", "noise_share", "drift_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeSpec:
    """Which lags have an autocorrelation and a partial one, how many wavelet levels, and the seasonal lag.

    A `season` of None is the panel's own; with a season of 1 the columns of the season are empty.

    >>> ShapeSpec(lags=(1,), partial=(), levels=1).names[:8]
    ('count', 'missing_share', 'mean', 'std', 'skewness', 'kurtosis', 'acf_1', 'acf_season')
    """

    lags: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 10, 15, 20)
    partial: tuple[int, ...] = (1, 2, 3, 4, 5)
    levels: int = 6
    season: int | None = None

    def __post_init__(self) -> None:
        for what, numbers in (("lags", self.lags), ("partial", self.partial)):
            if len(set(numbers)) != len(numbers) or not all(_is_whole(number, least=1) for number in numbers):
                raise ConfigError(f"{what} are different whole numbers of rows, 1 or more; got {numbers}.")
        if not _is_whole(self.levels, least=1) or self.levels > MOST_LEVELS:
            raise ConfigError(f"there are 1 to {MOST_LEVELS} wavelet levels; got {self.levels!r}.")
        if self.season is not None and not _is_whole(self.season, least=1):
            raise ConfigError(f"the season is a whole number of rows, 1 or more; got {self.season!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns [C]."""
        correlations = [f"acf_{lag}" for lag in self.lags] + ["acf_season"] + [f"pacf_{lag}" for lag in self.partial]
        waves = [f"wavelet_{level}" for level in range(1, self.levels + 1)] + ["wavelet_rest", "wavelet_slope"]
        return (*_MOMENTS, *correlations, *_SPECTRUM, *_SCALING, *waves, *_STRENGTHS)


def shape_table(
    panel: Panel, *, spec: ShapeSpec | None = None, column: str | None = None, until: int | None = None
) -> pl.DataFrame:
    """One row a series, in the panel's order: its id, and a column a feature (`ShapeSpec.names`).

    The shape is that of the target or of another numeric `column`, at all rows, or only at those up to the grid
    position `until`: nothing after it changes a bit. Null is what can't be measured; a series without a value has a
    count of 0. `measure_shapes` says what each column is.

    >>> from tidewright.data.simulate import signal_panel
    >>> table = shape_table(signal_panel(n_series=3, length=400, seed=0))
    >>> table.select("series", "count", pl.col("season_strength").round(1)).row(0)
    ('s0', 400.0, 0.9)
    """
    check_panel(panel, "a table of shapes")
    if until is not None and (isinstance(until, bool) or not isinstance(until, (int, np.integer))):
        raise ConfigError(f"until is a position on the panel's grid, a whole number; got {until!r}.")
    spec = spec or ShapeSpec()
    name = panel.roles.target if panel.roles.series is None else panel.roles.series
    if name in spec.names:
        raise ColumnError(f"the column of the series' ids, '{name}', is also a feature's name. Rename it.")
    values = panel.values(panel.roles.target if column is None else column)
    starts, stops = panel.offsets[:-1], panel.offsets[1:]
    if until is not None:
        stops = starts + np.add.reduceat((panel.positions <= until).astype(np.int64), starts)
    season = panel.frequency.season if spec.season is None else spec.season
    made = measure_shapes(values, starts=starts, stops=stops, spec=spec, season=season)
    columns = [pl.Series(each, made[:, i]).fill_nan(None) for i, each in enumerate(spec.names)]
    return pl.DataFrame([pl.Series(name, panel.series_ids), *columns])


def measure_shapes(
    flat: npt.ArrayLike, *, starts: npt.ArrayLike, stops: npt.ArrayLike, spec: ShapeSpec, season: int = 1
) -> Floats:
    """The shapes [S, C] of the pieces `starts[s]:stops[s]` of a flat array; NaN in the array is a missing value.

    - count, missing_share: observed values, and the share of rows without one between the first and the last.
    - mean, std (n - 1); skewness, kurtosis: central moments over powers of the deviation (n), kurtosis less 3.
    - acf_k, acf_season: sum of products k apart over the sum of squares, about the mean. pacf_k: from these by Levinson
      and Durbin.
    - spectral_entropy: of the periodogram, 0 (one frequency) to 1 (all alike). spectral_slope: of the log periodogram
      on log frequency. Both need 16 rows.
    - hurst_whittle: d + 1/2 by the local Whittle estimator (Robinson 1995) on the lowest n^0.65 frequencies, from 0.01
      to 1.49. hurst_rs: by rescaled range less what independent values give (Anis and Lloyd 1976). dfa: the exponent of
      detrended fluctuation analysis with straight lines (Peng et al. 1994). These need 64 rows; 1/2 is white noise.
    - wavelet_j: the share of the variance at scale 2^j, by the maximal overlap transform with Daubechies' four taps,
      the series reflected at its end (Percival and Walden 2000); wavelet_rest: what is left; wavelet_slope: of log2
      of the shares on j, weighted by the values at each scale. 2H - 2 for fractional noise.
    - season_strength, trend_strength (Wang, Smith and Hyndman 2006), noise_share, drift_share: see `PanelFacts`; three
      seasons are needed.

    All but count, mean and std stay the same for a * x + b with a > 0.
    """
    values = np.ascontiguousarray(flat, dtype=np.float64)
    first, last = (np.ascontiguousarray(ends, dtype=np.int64) for ends in (starts, stops))
    _check_pieces(values, first, last)
    out = np.full((len(first), len(spec.names)), np.nan)
    for block in _blocks(last - first):
        out[block] = _measure(values, first[block], last[block], spec=spec, season=season)
    return out


def _measure(flat: Floats, starts: Ints, stops: Ints, *, spec: ShapeSpec, season: int) -> Floats:
    from tidewright.features.scaling_kernels import expected_ranges, measure_scaling, measure_waves
    from tidewright.features.shape_kernels import bridge, correlate, describe
    from tidewright.features.spectrum import measure_spectra
    from tidewright.features.strength_kernels import measure_strengths

    first, lasts, moments = describe(flat, starts, stops)
    filled, bounds = bridge(flat, first, lasts, moments)
    reach = max(spec.partial, default=0)
    lags = np.array([*range(1, reach + 1), *spec.lags, season], dtype=np.int64)
    found, partial = correlate(filled, bounds, lags, reach)
    if season == 1:
        found[:, -1] = np.nan
    longest = int(np.diff(bounds).max(initial=0))
    parts = [
        moments,
        found[:, reach:],
        partial[:, [lag - 1 for lag in spec.partial]],
        measure_spectra(filled, bounds),
        measure_scaling(filled, bounds, *expected_ranges(longest)),
        measure_waves(filled, bounds, spec.levels),
        measure_strengths(filled, bounds, season),
    ]
    return np.hstack(parts)


def _blocks(lengths: Ints) -> Iterator[slice]:
    """Runs of series of about `BLOCK` rows."""
    block = np.cumsum(lengths) // BLOCK
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(lengths)]
    for low, high in pairwise(edges):
        if high > low:
            yield slice(low, high)


def _check_pieces(flat: Floats, starts: Ints, stops: Ints) -> None:
    sound = flat.ndim == starts.ndim == 1 and starts.shape == stops.shape
    sound = sound and bool(((starts >= 0) & (starts <= stops) & (stops <= flat.size)).all())
    if not sound:
        raise ConfigError(
            f"pieces are rows starts[s]:stops[s] of one flat array; got values of shape {flat.shape}, starts "
            f"{starts.tolist()[:5]} and stops {stops.tolist()[:5]}. Give each series' first row and the row after its "
            "last."
        )
    if np.isinf(flat).any():
        raise ConfigError(f"the values hold infinity at row {int(np.isinf(flat).argmax())}. Leave it out, as NaN.")


def _is_whole(number: Any, *, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least
