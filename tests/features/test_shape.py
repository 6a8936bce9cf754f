"""The shape of series against independent libraries, worlds of known memory, and its laws."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import pywt  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, signal, special, stats
from statsmodels.tsa.seasonal import seasonal_decompose  # type: ignore[import-untyped]
from statsmodels.tsa.stattools import acf, pacf  # type: ignore[import-untyped]

from tidewright.data.panel import Panel
from tidewright.data.simulate import fractional_panel, noise_panel, signal_panel
from tidewright.errors import ColumnError, ConfigError, DataError
from tidewright.features import shape
from tidewright.features.shape import ShapeSpec, measure_shapes, shape_table

SPEC = ShapeSpec()
FREE = [name for name in SPEC.names if name not in ("count", "mean", "std")]  # no unit, no level


def draw(rows: int, *, seed: int = 0, persistence: float = 0.7) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_t(6, size=rows)
    return np.asarray(3.0 + 2.0 * signal.lfilter([1.0], [1.0, -persistence], noise))


def of(values: np.ndarray, *, spec: ShapeSpec = SPEC, season: int = 7) -> dict[str, float]:
    made = measure_shapes(values, starts=[0], stops=[len(values)], spec=spec, season=season)
    return dict(zip(spec.names, made[0].tolist(), strict=True))


def test_moments_of_observed_values_are_those_of_scipy() -> None:
    values = draw(300)
    values[[0, 7, 8, 9, 150]] = np.nan
    seen = values[~np.isnan(values)]
    found = of(values)
    assert found["count"] == 295
    assert found["missing_share"] == pytest.approx(4 / 299)  # the first row comes before the first value
    assert found["mean"] == pytest.approx(seen.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(seen.std(ddof=1), rel=1e-12)
    assert found["skewness"] == pytest.approx(stats.skew(seen), rel=1e-10)
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(seen), rel=1e-10)


@pytest.mark.parametrize("rows", [45, 400])
def test_autocorrelations_are_those_of_statsmodels(rows: int) -> None:
    values = draw(rows)
    found, expected, partial = of(values), acf(values, nlags=20, fft=False), pacf(values, nlags=5, method="ldb")
    for lag in SPEC.lags:
        assert found[f"acf_{lag}"] == pytest.approx(expected[lag], abs=1e-12)
    assert found["acf_season"] == pytest.approx(expected[7], abs=1e-12)
    for lag in SPEC.partial:
        assert found[f"pacf_{lag}"] == pytest.approx(partial[lag], abs=1e-12)


@pytest.mark.parametrize("rows", [200, 201])
def test_the_spectrum_is_that_of_scipy(rows: int) -> None:
    frequencies, power = (part[1:] for part in signal.periodogram(draw(rows), scaling="spectrum"))
    if rows % 2 == 0:
        power[-1] *= 2.0  # scipy halves the last one of a one-sided spectrum
    found = of(draw(rows))
    assert found["spectral_entropy"] == pytest.approx(stats.entropy(power) / np.log(len(power)), rel=1e-9)
    slope = stats.linregress(np.log(frequencies), np.log(power)).slope
    assert found["spectral_slope"] == pytest.approx(slope, rel=1e-9)


def test_local_whittle_is_the_minimum_of_its_contrast() -> None:
    frequencies, power = (part[1:] for part in signal.periodogram(draw(500)))
    lowest = int(500**0.65)
    omega, density = 2.0 * np.pi * frequencies[:lowest], power[:lowest]

    def contrast(hurst: float) -> float:
        d = hurst - 0.5
        return float(np.log(np.mean(omega ** (2 * d) * density)) - 2 * d * np.mean(np.log(omega)))

    best = optimize.minimize_scalar(contrast, bounds=(0.01, 1.49), method="bounded", options={"xatol": 1e-10}).x
    assert of(draw(500))["hurst_whittle"] == pytest.approx(best, abs=1e-6)


def boxes(values: np.ndarray, scale: int) -> np.ndarray:
    return np.asarray(values[: len(values) // scale * scale].reshape(-1, scale))


def scales(most: int) -> list[int]:
    return [round(8 * 2 ** (k / 2)) for k in range(40) if round(8 * 2 ** (k / 2)) <= most]


def test_dfa_is_that_of_lines_fitted_box_by_box() -> None:
    values = draw(700)
    profile, spread = np.cumsum(values - values.mean()), []
    for scale in scales(175):
        t = np.arange(scale)
        rest = [box - np.polyval(np.polyfit(t, box, 1), t) for box in boxes(profile, scale)]
        spread.append(np.sqrt(np.mean(np.square(rest))))
    assert of(values)["dfa"] == pytest.approx(stats.linregress(np.log(scales(175)), np.log(spread)).slope, rel=1e-9)


def test_the_rescaled_range_is_that_of_its_definition() -> None:
    values, ratios = draw(700), []
    for n in scales(350):
        i = np.arange(1, n)
        chance = special.gamma((n - 1) / 2) / special.gamma(n / 2) if n < 300 else np.sqrt(2.0 / n) * (1 + 0.75 / n)
        expected = (n - 0.5) / n * chance / np.sqrt(np.pi) * np.sqrt((n - i) / i).sum()
        parts = boxes(values, n)
        runs = np.cumsum(parts - parts.mean(axis=1, keepdims=True), axis=1)
        ranges = np.maximum(runs.max(axis=1), 0.0) - np.minimum(runs.min(axis=1), 0.0)
        ratios.append(np.mean(ranges / parts.std(axis=1)) / expected)
    slope = stats.linregress(np.log(scales(350)), np.log(ratios)).slope
    assert of(values)["hurst_rs"] == pytest.approx(0.5 + slope, abs=1e-6)


def test_wavelet_energies_are_those_of_pywavelets() -> None:
    values = draw(512)
    centred = (values - values.mean()) / values.std()
    parts = pywt.swt(np.concatenate([centred, centred[::-1]]), "db2", level=6, norm=True, trim_approx=True)
    found = of(values)
    for level in range(1, 7):
        assert found[f"wavelet_{level}"] == pytest.approx(np.mean(parts[7 - level] ** 2), rel=1e-9)
    assert found["wavelet_rest"] == pytest.approx(np.mean(parts[0] ** 2), rel=1e-9)


def test_variance_is_shared_out_among_the_scales_and_the_rest() -> None:
    for rows, levels in ((4, 1), (21, 2), (200, 6), (333, 6)):
        found = of(draw(rows))
        shares = [found[f"wavelet_{level}"] for level in range(1, levels + 1)]
        assert sum(shares) + found["wavelet_rest"] == pytest.approx(1.0, rel=1e-12)
        assert np.isnan([found[f"wavelet_{level}"] for level in range(levels + 1, 7)]).all()


def test_strengths_are_those_of_a_decomposition_of_statsmodels() -> None:
    values = signal_panel(n_series=1, length=200, seed=3, noise=0.8).target
    parts = seasonal_decompose(values, period=7)
    kept = np.isfinite(parts.resid)
    around = np.tile(np.bincount(np.arange(194) % 7, (parts.resid + parts.seasonal)[kept]) / 28, 28)[:194]
    rest = (parts.resid + parts.seasonal)[kept]
    means = np.array([rest[place::7].mean() for place in range(7)])[np.arange(194) % 7]
    assert len(around) == len(means)
    noise, found = (rest - means).var(), of(values)
    assert found["season_strength"] == pytest.approx(1 - noise / rest.var(), rel=1e-9)
    slow = parts.trend[kept] + rest - means
    assert found["trend_strength"] == pytest.approx(1 - noise / slow.var(), rel=1e-9)
    assert found["noise_share"] == pytest.approx(noise / values.var(), rel=1e-9)


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7, 0.9])
def test_the_hurst_exponent_of_fractional_noise_is_found(hurst: float) -> None:
    table = shape_table(fractional_panel(hursts=[hurst] * 60, length=1000, seed=1))
    assert table["hurst_whittle"].mean() == pytest.approx(hurst, abs=0.03)
    assert table["dfa"].mean() == pytest.approx(hurst, abs=0.04)
    assert table["hurst_rs"].mean() == pytest.approx(hurst, abs=0.18 * max(hurst, 0.3))  # falls short of high ones
    assert table["wavelet_slope"].mean() == pytest.approx(2 * hurst - 2, abs=0.15)


def test_a_walk_has_the_memory_of_summed_noise() -> None:
    table = shape_table(noise_panel(n_series=40, length=1000, seed=2, kind="walk"))
    assert table["dfa"].mean() == pytest.approx(1.5, abs=0.05)
    assert table["hurst_whittle"].mean() == pytest.approx(1.5, abs=0.1)
    assert table["spectral_slope"].mean() == pytest.approx(-2.0, abs=0.25)  # aliasing flattens its upper end


def test_a_wave_has_one_frequency_and_noise_has_all() -> None:
    wave = of(np.sin(2 * np.pi * np.arange(280) / 7))
    assert wave["spectral_entropy"] < 1e-6
    assert wave["season_strength"] == pytest.approx(1.0)
    assert of(draw(280, persistence=0.0))["spectral_entropy"] > 0.9


@settings(max_examples=40, deadline=None)
@given(
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 50),
    rows=st.integers(2, 150),
)
def test_other_units_change_mean_and_deviation_alone(scale: float, shift: float, seed: int, rows: int) -> None:
    values = draw(rows, seed=seed)
    values[1 : rows // 5] = np.nan
    plain, moved = of(values), of(scale * (values + shift))
    for name in FREE:
        assert moved[name] == pytest.approx(plain[name], rel=1e-6, abs=1e-6, nan_ok=True), name
    assert moved["mean"] == pytest.approx(scale * (plain["mean"] + shift), rel=1e-9, abs=1e-9 * scale)
    assert moved["std"] == pytest.approx(scale * plain["std"], rel=1e-9)


def test_a_mirrored_series_has_the_other_skewness_and_nothing_else() -> None:
    values = draw(200)
    plain, mirrored = of(values), of(-values)
    assert mirrored["skewness"] == pytest.approx(-plain["skewness"])
    for name in set(FREE) - {"skewness"}:
        assert mirrored[name] == pytest.approx(plain[name]), name


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 119), seed=st.integers(0, 50))
def test_a_changed_future_leaves_every_bit_of_the_past(cut: int, seed: int) -> None:
    panel = noise_panel(n_series=3, length=120, seed=seed)
    later = panel.positions > cut
    changed = panel.table.with_columns(pl.Series("value", np.where(later, 1e6, panel.target)))
    other = Panel.from_table(changed, series="series", time="time", target="value")
    assert shape_table(panel, until=cut).equals(shape_table(other, until=cut))
    assert shape_table(panel, until=cut).equals(shape_table(panel.until(cut)))


def test_a_series_among_others_has_the_bits_that_it_has_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [draw(rows, seed=rows) for rows in (90, 1, 90, 64, 200)]
    stops = np.cumsum([len(part) for part in parts])
    starts = stops - [len(part) for part in parts]
    alone = np.vstack([list(of(part).values()) for part in parts])
    for block in (shape.BLOCK, 100):
        monkeypatch.setattr(shape, "BLOCK", block)
        among = measure_shapes(np.concatenate(parts), starts=starts, stops=stops, spec=SPEC, season=7)
        np.testing.assert_array_equal(among, alone)


def test_missing_values_are_bridged_by_straight_lines() -> None:
    values = draw(200)
    holes = values.copy()
    holes[50:60] = np.nan
    bridged = np.interp(np.arange(200), np.flatnonzero(~np.isnan(holes)), holes[~np.isnan(holes)])
    ours, full = of(np.concatenate([[np.nan] * 3, holes, [np.nan] * 2])), of(bridged)
    for name in SPEC.names[6:]:
        assert ours[name] == pytest.approx(full[name], rel=1e-9), name
    assert (ours["count"], ours["missing_share"]) == (190, pytest.approx(0.05))


@pytest.mark.parametrize(
    ("values", "count", "std"),
    [([], 0, None), ([np.nan] * 5, 0, None), ([3.0], 1, None), ([0.1] * 100, 100, 0.0), ([0.0] * 9, 9, 0.0)],
)
def test_what_can_not_be_measured_is_missing(values: list[float], count: int, std: float | None) -> None:
    found = of(np.array(values))
    assert found["count"] == count
    assert found["std"] == pytest.approx(std, abs=1e-15) if std is not None else np.isnan(found["std"])
    assert np.isnan([found[name] for name in SPEC.names[4:]]).all()


def test_a_short_series_has_what_it_can_have() -> None:
    found = of(np.array([1.0, 5.0, 2.0, 4.0]))
    known = {name for name in SPEC.names if not np.isnan(found[name])}
    assert {"skewness", "acf_1", "acf_2", "pacf_1", "wavelet_1"} <= known
    assert not known & {"acf_3", "pacf_3", "dfa", "hurst_rs", "hurst_whittle", "spectral_entropy", "season_strength"}


def test_one_row_a_series_and_one_column_a_feature() -> None:
    panel = fractional_panel(hursts=[0.4, 0.6], length=100, seed=0)
    table = shape_table(panel)
    assert table.columns == ["series", *SPEC.names]
    assert table["series"].to_list() == ["s0", "s1"]
    assert table["acf_season"].to_list() == shape_table(panel, spec=ShapeSpec(season=7))["acf_season"].to_list()
    assert table["count"].to_list() == [100.0, 100.0]


def test_another_column_can_be_measured_and_a_series_that_starts_later_is_empty() -> None:
    table = pl.DataFrame({"id": ["a"] * 3 + ["b"] * 2, "t": [0, 1, 2, 2, 3], "y": [1.0, 2, 4, 8, 9], "x": [5.0] * 5})
    panel = Panel.from_table(table, series="id", time="t", target="y", past=["x"])
    assert shape_table(panel, column="x")["mean"].to_list() == [5.0, 5.0]
    early = shape_table(panel, until=1)
    assert early["count"].to_list() == [2.0, 0.0]
    assert early["mean"].to_list() == [1.5, None]


CHANGES = {"lags": (1, 30), "partial": (1,), "levels": 2, "season": 3}


@pytest.mark.parametrize("option", ShapeSpec.__dataclass_fields__)
def test_every_option_of_the_spec_changes_the_table(option: str) -> None:
    panel = signal_panel(n_series=2, length=100, seed=0)
    assert not shape_table(panel, spec=ShapeSpec(**{option: CHANGES[option]})).equals(shape_table(panel))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ShapeSpec(lags=(1, 1)), r"lags are different whole numbers of rows, 1 or more; got \(1, 1\)"),
        (lambda: ShapeSpec(partial=(0,)), "partial are different whole numbers"),
        (lambda: ShapeSpec(levels=17), "1 to 16 wavelet levels; got 17"),
        (lambda: ShapeSpec(season=0), "the season is a whole number of rows, 1 or more; got 0"),
        (lambda: measure_shapes([1.0], starts=[0], stops=[2], spec=SPEC), "rows .* of one flat array"),
        (lambda: measure_shapes([1.0, np.inf], starts=[0], stops=[2], spec=SPEC), "infinity at row 1"),
    ],
)
def test_what_is_no_shape_is_refused_with_a_remedy(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize("until", ["2024-01-01", True, 2.5])
def test_until_is_a_position(until: object) -> None:
    panel = Panel.from_table(pl.DataFrame({"t": range(9), "y": [1.0] * 9}), time="t", target="y")
    with pytest.raises(ConfigError, match="until is a position on the panel's grid, a whole number; got"):
        shape_table(panel, until=until)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(DataError, match="a table of shapes is made from a Panel; got DataFrame"):
        shape_table(panel.table)  # type: ignore[arg-type]  # likewise


def test_a_column_of_ids_with_a_features_name_is_refused() -> None:
    table = pl.DataFrame({"mean": ["a", "a"], "t": [0, 1], "y": [1.0, 2.0]})
    with pytest.raises(ColumnError, match="'mean', is also a feature's name"):
        shape_table(Panel.from_table(table, series="mean", time="t", target="y"))


def test_numba_is_loaded_only_when_a_shape_is_measured() -> None:
    code = "import sys, tidewright.features.shape; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
