"""Made panels whose truth is known: worlds of pure noise, of a known signal, and of known long memory.

S series of T rows each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from tidewright.data.frequency import DAY, Frequency, parse_frequency
from tidewright.data.panel import Floats, Panel
from tidewright.errors import ConfigError

START = 19_723 * DAY  # 2024-01-01, a Monday
SERIES, TIME, TARGET, DRIVER, LEVEL, HURST = "series", "time", "value", "driver", "level", "hurst"


def noise_panel(
    *, n_series: int, length: int, seed: int, frequency: str = "1d", kind: Literal["white", "walk"] = "white"
) -> Panel:
    """Pure noise: independent standard normal values around 0 (white), or their running sums (walk).

    No forecast beats 0 on white noise (root mean squared error 1 at every step), nor the last value on a
    walk (the square root of the step).

    >>> noise_panel(n_series=3, length=50, seed=0).n_series
    3
    """
    if kind not in ("white", "walk"):
        raise ConfigError(f"the kind of noise is 'white' or 'walk'; got {kind!r}.")
    _check_size(n_series, length)
    steps = np.random.default_rng(seed).standard_normal((n_series, length))
    values = steps if kind == "white" else steps.cumsum(axis=1)
    return _to_panel({TARGET: values}, frequency=frequency, known=(), static=())


def signal_panel(
    *,
    n_series: int,
    length: int,
    seed: int,
    frequency: str = "1d",
    period: int = 7,
    noise: float = 0.5,
    persistence: float = 0.8,
    driver: float = 0.0,
    static: bool = False,
) -> Panel:
    """A sum of what can be learnt and what can't: level, trend, season, a driver, and an AR(1) process.

    Every series has its own level, also a static column `level` if `static`; a trend of 0.001 of its level a
    row; and a season of `period` rows and of standard deviation 1, the same for all series. The known column
    `driver`, there when its weight is not 0, is standard normal and independent of everything else. The AR(1)
    process has the `persistence` p and innovations of standard deviation `noise`.

    So the best possible root mean squared error h steps ahead is `best_error(h, noise=noise, persistence=p)`;
    a forecast without the season adds 1 to its square, one without the driver the driver's weight squared.
    """
    _check_size(n_series, length)
    if not (noise > 0 and abs(persistence) < 1 and period >= 2):
        raise ConfigError(
            f"noise must be positive, persistence between -1 and 1, period 2 or more; got {noise}, {persistence}, "
            f"{period}."
        )
    rng = np.random.default_rng(seed)
    level = rng.uniform(10.0, 20.0, (n_series, 1))
    rows = np.arange(length)
    regular = level * (1.0 + 0.001 * rows) + np.sqrt(2.0) * np.sin(2.0 * np.pi * rows / period)
    drawn = rng.standard_normal((n_series, length))
    columns = {TARGET: regular + _run_ar(rng, n_series, length, noise, persistence) + driver * drawn}
    known = (DRIVER,) if driver else ()
    if driver:
        columns[DRIVER] = drawn
    if static:
        columns[LEVEL] = np.repeat(level, length, axis=1)
    return _to_panel(columns, frequency=frequency, known=known, static=(LEVEL,) if static else ())


def fractional_panel(*, hursts: Sequence[float], length: int, seed: int, frequency: str = "1d") -> Panel:
    """Fractional Gaussian noise of variance 1, a series for each Hurst exponent, which is its static column `hurst`.

    Exact in distribution, after Davies and Harte (1987). H of 1/2 is white noise; above it values stay near those
    before.

    >>> fractional_panel(hursts=[0.3, 0.7], length=50, seed=0).n_series
    2
    """
    _check_size(len(hursts), length)
    outside = [hurst for hurst in hursts if not 0.0 < hurst < 1.0]
    if outside:
        raise ConfigError(f"a Hurst exponent lies between 0 and 1; got {outside[0]}.")
    rng = np.random.default_rng(seed)
    values = np.stack([_draw_fractional(rng, hurst, length) for hurst in hursts])
    columns = {TARGET: values, HURST: np.repeat(np.array(hursts)[:, None], length, axis=1)}
    return _to_panel(columns, frequency=frequency, known=(), static=(HURST,))


def best_error(step: int, *, noise: float = 0.5, persistence: float = 0.8) -> float:
    """The root mean squared error of the best possible forecast of `signal_panel`, `step` rows ahead.

    It is the standard deviation of an AR(1) process `step` steps after its last known value: noise x
    sqrt((1 - p^2h) / (1 - p^2)), after Box and Jenkins (1970).

    >>> round(best_error(1), 3), round(best_error(2), 3)
    (0.5, 0.64)
    """
    if step < 1:
        raise ConfigError(f"a forecast is 1 step ahead or more; got {step}.")
    square = persistence**2
    return float(noise * np.sqrt((1.0 - square**step) / (1.0 - square)))


def _run_ar(rng: np.random.Generator, n_series: int, length: int, noise: float, persistence: float) -> Floats:
    """A stationary AR(1) process from its first value on [S, T]."""
    shocks = noise * rng.standard_normal((n_series, length))
    shocks[:, 0] /= np.sqrt(1.0 - persistence**2)
    values = np.empty_like(shocks)
    values[:, 0] = shocks[:, 0]
    for row in range(1, length):
        values[:, row] = persistence * values[:, row - 1] + shocks[:, row]
    return values


def _draw_fractional(rng: np.random.Generator, hurst: float, length: int) -> Floats:
    """Fractional Gaussian noise [T]: its covariances as the first row of a circulant matrix, whose root is an FFT."""
    apart = np.abs(np.arange(-1, length + 1.0)) ** (2.0 * hurst)
    covariance = 0.5 * (apart[2:] - 2.0 * apart[1:-1] + apart[:-2])
    spectrum = np.fft.rfft(np.concatenate([covariance, covariance[-2:0:-1]])).real
    half = len(spectrum)
    drawn = rng.standard_normal(half) + 1j * rng.standard_normal(half)
    drawn[[0, -1]] = np.sqrt(2.0) * drawn[[0, -1]].real
    width = 2 * (half - 1)
    return np.asarray(np.fft.irfft(drawn * np.sqrt(np.maximum(spectrum, 0.0) * width / 2.0), width)[:length])


def _check_size(n_series: int, length: int) -> None:
    if n_series < 1 or length < 2:
        raise ConfigError(f"a panel needs 1 series or more of 2 rows or more; got {n_series} of {length}.")


def _to_panel(columns: dict[str, Floats], *, frequency: str, known: tuple[str, ...], static: tuple[str, ...]) -> Panel:
    n_series, length = columns[TARGET].shape
    unit, count = parse_frequency(frequency)
    moments = pl.Series(Frequency(unit, count, START if unit != "step" else 0).times(np.arange(length)))
    if unit != "step":
        moments = moments.cast(pl.Datetime("us"))
    width = len(str(n_series - 1))
    names = [f"s{number:0{width}d}" for number in range(n_series)]
    table: dict[str, Any] = {
        SERIES: np.repeat(names, length),
        TIME: pl.concat([moments] * n_series),
        **{name: values.reshape(-1) for name, values in columns.items()},
    }
    return Panel.from_table(
        pl.DataFrame(table),
        time=TIME,
        target=TARGET,
        series=SERIES,
        known=known,
        static=static,
        frequency=frequency,
    )
