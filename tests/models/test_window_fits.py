"""Statistical models on windows: published figures, gaps, units, failures that are told."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest

from tests.worlds import QUICK_FITS
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FallbackWarning, FitError, MissingExtraError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows, newest_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS
from tidewright.models.specs.statistical import INTERMITTENT, MSTL, AutoARIMA, AutoCES, AutoETS, Croston, Theta
from tidewright.models.statistical import Statistical
from tidewright.models.window_fits import _Refusal, fit_windows
from tidewright.runtime import detect_runtime
from tidewright.training.fit import fit, view_of

TASK = Task(4, (0.05, 0.5, 0.95))
FITTED = [name for name, entry in MODELS.items() if entry.kind == "statistical" and name not in INTERMITTENT]
every_model = pytest.mark.parametrize("name", FITTED)


def air_passengers() -> np.ndarray:
    """Monthly passengers, 1949 to 1960 (Box, Jenkins 1976), the example of statsforecast's documentation."""
    from statsforecast.utils import AirPassengers

    return np.asarray(AirPassengers, dtype=float)


def seasonal(length: int = 60, *, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return 100.0 + 10.0 * np.sin(2 * np.pi * np.arange(length) / 7) + draw.normal(size=length)


def answer(row: np.ndarray, name: str = "auto_ets", **options: object) -> np.ndarray:
    found, failed = fit_windows(
        row[None],
        build_spec(name, {**QUICK_FITS[name], **options}),  # type: ignore[arg-type]
        horizon=TASK.horizon,
        quantiles=TASK.quantiles,
    )
    assert not failed
    return found[0]


def test_holt_winters_of_air_passengers_agrees_with_statsmodels() -> None:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # type: ignore[import-untyped]

    series = air_passengers()
    ours, _ = fit_windows(
        series[None], AutoETS(season=12, form="MAM", damped=False), horizon=12, quantiles=(0.1, 0.5, 0.9)
    )
    theirs = ETSModel(series, error="mul", trend="add", seasonal="mul", seasonal_periods=12).fit(disp=False)
    np.testing.assert_allclose(ours[0, :, 1], theirs.forecast(12), rtol=0.005)
    shocks = np.random.default_rng(0).normal(size=(12, 4000)) * np.sqrt(theirs.scale)
    paths = theirs.simulate(12, anchor="end", repetitions=4000, random_errors=shocks)
    low, high = np.quantile(paths, (0.1, 0.9), axis=1)
    np.testing.assert_allclose(ours[0, :, 2] - ours[0, :, 0], high - low, rtol=0.15)


def test_a_form_is_chosen_by_where_a_restarted_simplex_ends() -> None:
    from statsforecast.models import AutoETS as Alone

    series = air_passengers()
    found, _ = fit_windows(series[None], AutoETS(season=12), horizon=12, quantiles=(0.5,))
    alone = Alone(season_length=12).fit(series)
    assert alone.model_["aic"] > 1450  # it stops early, at a form without the trend; the restart has left it as it was
    assert np.abs(found[0, :, 0] - alone.predict(h=12)["mean"]).max() > 5.0
    assert found[0, 6, 0] == pytest.approx(617.5, abs=1.0)  # what statsmodels' Holt-Winters says of July 1961, too


def test_the_airline_model_of_air_passengers_has_box_and_jenkins_numbers() -> None:
    # ARIMA(0,1,1)(0,1,1)12 of the logarithms: theta 0.40, Theta 0.56 (Box, Jenkins 1976, chapter 9)
    from statsmodels.tsa.arima.model import ARIMA  # type: ignore[import-untyped]

    series = np.log(air_passengers())
    spec = AutoARIMA(season=12, max_p=0, max_q=1, max_seasonal=1, approximate=False)
    ours, _ = fit_windows(series[None], spec, horizon=12, quantiles=(0.1, 0.5, 0.9))
    fitted = ARIMA(series, order=(0, 1, 1), seasonal_order=(0, 1, 1, 12)).fit()
    assert fitted.params[:2] == pytest.approx([-0.40, -0.56], abs=0.01)
    forecast = fitted.get_forecast(12)
    np.testing.assert_allclose(ours[0, :, 1], forecast.predicted_mean, atol=0.005)
    np.testing.assert_allclose(ours[0, :, [0, 2]].T, forecast.conf_int(alpha=0.2), atol=0.01)


def test_the_standard_theta_method_is_smoothing_with_half_the_slope() -> None:
    # Hyndman, Billah 2003: the line's slope over 2, added to simple exponential smoothing
    from statsmodels.tsa.forecasting.theta import ThetaModel  # type: ignore[import-untyped]

    series = 0.5 * np.arange(40) + np.random.default_rng(1).normal(size=40).cumsum() + 20.0
    ours = answer(series, "theta", history=None)[:, 1]
    theirs = ThetaModel(series, period=1, deseasonalize=False).fit().forecast(4)
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def test_loess_takes_two_seasons_apart() -> None:
    hours = np.arange(24 * 7 * 4)
    series = 50.0 + 5.0 * np.sin(2 * np.pi * hours / 24) + 20.0 * (hours % 168 >= 120) + 0.01 * hours
    ours, _ = fit_windows(series[None], MSTL(seasons=(24, 168)), horizon=48, quantiles=(0.5,))
    ahead = np.arange(len(series), len(series) + 48)
    wanted = 50.0 + 5.0 * np.sin(2 * np.pi * ahead / 24) + 20.0 * (ahead % 168 >= 120) + 0.01 * ahead
    assert np.abs(ours[0, :, 0] - wanted).max() < 2.0


def test_an_additive_season_s_intervals_do_not_depend_on_the_horizon() -> None:
    series, spec = seasonal(70), AutoETS(season=7, form="ANA")
    long, _ = fit_windows(series[None], spec, horizon=21, quantiles=(0.1, 0.5, 0.9))
    short, _ = fit_windows(series[None], spec, horizon=3, quantiles=(0.1, 0.5, 0.9))
    np.testing.assert_array_equal(long[0, :3], short[0])
    assert (np.diff(long[0, :, 2] - long[0, :, 0]) >= -1e-9).all()


@every_model
def test_gaps_are_bridged_and_a_late_start_is_cut(name: str) -> None:
    series = seasonal()
    whole = series.copy()
    whole[30:33] = np.interp([30, 31, 32], [29, 33], series[[29, 33]])
    holes = whole.copy()
    holes[30:33] = np.nan
    padded = np.concatenate([np.full(9, np.nan), holes])
    np.testing.assert_array_equal(answer(padded, name, history=None), answer(whole, name, history=None))


@every_model
def test_steps_that_are_missing_at_the_end_are_forecast_too(name: str) -> None:
    series = seasonal(42)
    late = np.append(series, [np.nan, np.nan])
    whole, _ = fit_windows(series[None], build_spec(name, QUICK_FITS[name]), horizon=6, quantiles=TASK.quantiles)  # type: ignore[arg-type]
    np.testing.assert_array_equal(answer(late, name), whole[0, 2:])


@every_model
def test_a_unit_that_is_a_power_of_two_changes_no_bit(name: str) -> None:
    series = seasonal()
    for unit in (2.0**-30, 2.0**20):
        np.testing.assert_array_equal(answer(series * unit, name), answer(series, name) * unit)


def test_the_theta_method_ends_where_it_does_in_a_unit_with_many_digits() -> None:
    from statsforecast.models import AutoTheta

    series = seasonal(100, seed=4) * np.linspace(1.0, 1.2, 100)
    spec = Theta(season=7)
    ours, _ = fit_windows(series[None] / 1024.0, spec, horizon=7, quantiles=(0.5,))
    theirs = AutoTheta(season_length=7).fit(series * 2.0**14).predict(h=7)["mean"]
    np.testing.assert_allclose(ours[0, :, 0] * 1024.0, theirs / 2.0**14, rtol=1e-3)


@every_model
def test_a_window_that_does_not_move_is_answered_by_its_value(name: str) -> None:
    assert (answer(np.full(12, 3.7), name) == 3.7).all()


@every_model
def test_every_option_changes_an_answer(name: str) -> None:
    other: dict[str, dict[str, object]] = {
        "auto_arima": {"max_p": 0, "max_q": 3, "max_seasonal": 1, "approximate": False, "season": 7},
        "auto_ets": {"form": "AAN", "damped": True, "season": 7},
        "auto_ces": {"form": "S", "season": 7},
        "theta": {"form": "dynamic_optimised", "season": 7, "decomposition": "additive"},
        "mstl": {"seasons": (5,), "trend": "ets"},
    }
    bases: dict[str, dict[str, object]] = {  # in which an option can be seen
        "auto_arima": {"season": 1, "max_p": 1, "max_q": 0, "max_seasonal": 0},
        "auto_ets": {"form": "AAA", "season": 7, "damped": False},
        "auto_ces": {"form": "F", "season": 7},
        "theta": {"season": 7},
        "mstl": {},
    }
    alone: dict[tuple[str, str], dict[str, object]] = {
        ("auto_arima", "season"): {"max_seasonal": 1},
        ("auto_arima", "max_seasonal"): {"season": 7},
        ("auto_arima", "approximate"): {"max_p": 3, "max_q": 3},
    }
    changed = dict.fromkeys([("auto_ets", "season"), ("theta", "season")], 1) | {("auto_ces", "season"): 5}
    assert set(other[name]) | {"name", "history"} == {field.name for field in fields(MODELS.load(name))}
    draw = np.random.default_rng(0).normal(size=161)
    series = (seasonal(160) + 6.0 * (draw[1:] + 0.8 * draw[:-1])) * np.linspace(1.0, 1.5, 160)
    for option, value in other[name].items():
        base = {**bases[name], **alone.get((name, option), {})}
        before = answer(series, name, **base)
        after = answer(series, name, **{**base, option: changed.get((name, option), value)})
        assert not np.array_equal(before, after), option


def test_the_global_generator_and_the_warnings_are_left_as_they_were() -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    filters = list(warnings.filters)
    answer(seasonal(), "theta")
    assert np.array_equal(state, np.random.get_state()[1])  # type: ignore[index]
    assert warnings.filters == filters


def test_threads_get_the_bits_that_one_gets() -> None:
    rows = [seasonal(30, seed=k) for k in range(12)]
    serial = [answer(row, "theta") for row in rows]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda row: answer(row, "theta"), rows))
    assert all(np.array_equal(one, two) for one, two in zip(serial, together, strict=True))


def make_panel(*, length: int = 60, part: int = 12) -> tuple[Panel, Split]:
    """Two daily series; the second begins 28 days before the end."""
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 1) + pl.duration(days=length - 1), eager=True)
    late = seasonal(length, seed=1)
    late[:-28] = np.nan
    each = {"a": seasonal(length), "b": late}
    table = pl.concat(pl.DataFrame({"shop": name, "day": days, "sold": each[name]}) for name in each).fill_nan(None)
    panel = Panel.from_table(table, series="shop", time="day", target="sold")
    return panel, split_holdout(panel, TASK, validation=part, test=part)


def cut(panel: Panel, model: Statistical, split: Split) -> Windows:
    return cut_windows(panel, model.view, horizon=TASK.horizon, cutoffs=split.validation, least=1)


def test_a_window_that_can_t_be_fitted_is_answered_by_the_last_value_aloud_and_refused_when_strict() -> None:
    panel, split = make_panel()
    spec = AutoETS(season=7, form="ZZN")
    said = r"auto_ets failed on .* series 1 \(counted from 0\) at position"
    with pytest.warns(FallbackWarning, match=said):
        model = fit(spec, panel=panel, split=split, task=TASK, view=View(30))
    windows = cut(panel, model, split)  # type: ignore[arg-type]
    with pytest.warns(FallbackWarning, match=said):
        found = model.predict(windows)
    failed = (~np.isnan(windows.history())).sum(axis=1) <= 6
    assert set(windows.series[failed]) == {1}
    last = np.array([row[~np.isnan(row)][-1] for row in windows.history()[failed]])
    np.testing.assert_array_equal(found[failed, :, 1], np.repeat(last[:, None], 4, axis=1))
    assert np.isfinite(found).all()
    strict = detect_runtime("cpu", strict=True)
    with pytest.raises(FitError, match=r"auto_ets failed on .*Leave strict out"):
        fit(spec, panel=panel, split=split, task=TASK, view=View(30), runtime=strict)


def test_the_season_with_the_least_error_is_chosen_and_the_history_says_what_a_window_cost() -> None:
    panel, split = make_panel(length=400, part=60)
    model = fit(Theta(history=140, form="standard"), panel=panel.select(["a"]), split=split, task=TASK)
    losses = [record["validation_loss"] for record in model.history]
    assert [record["candidate"] for record in model.history] == ["season 7", "season 28"]
    chosen = int(np.argmin(losses))
    assert model.spec == Theta(history=140, form="standard", season=(7, 28)[chosen])
    assert model.history[chosen]["chosen"]
    assert all(record["seconds_a_window"] > 0 and record["windows"] == 24 for record in model.history)


def test_a_deadline_ends_the_choice_of_a_season() -> None:
    panel, split = make_panel(length=400, part=40)
    panel = panel.select(["a"])
    model = fit(Theta(history=140, form="standard"), panel=panel, split=split, task=TASK, deadline=0.0)
    assert len(model.history) == 1
    assert model.history[0]["stopped"] == "deadline"


def test_it_is_given_the_history_that_the_panel_allows_up_to_its_limit() -> None:
    panel, split = make_panel(length=400)
    parts = {"panel": panel, "split": split, "task": TASK}
    assert view_of(AutoETS(), **parts) == View(200)  # type: ignore[arg-type]
    assert view_of(AutoETS(history=90), **parts) == View(90)  # type: ignore[arg-type]
    assert view_of(Croston(), **parts) == View(split.validation.first - panel.span[0] + 1)  # type: ignore[arg-type]


def test_intermittent_quantiles_are_residuals_and_never_below_zero() -> None:
    draw = np.random.default_rng(0)
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 7, 18), eager=True)
    sold = [draw.poisson(0.5, len(days)).astype(float) for _ in range(20)]
    table = pl.concat(pl.DataFrame({"shop": f"s{k}", "day": days, "sold": sold[k]}) for k in range(20))
    panel = Panel.from_table(table, series="shop", time="day", target="sold")
    split = split_holdout(panel, TASK)
    model = fit(Croston(), panel=panel, split=split, task=TASK)
    assert split.test is not None
    windows = cut_windows(panel, model.view, horizon=4, cutoffs=split.test, least=1)
    found, labels = model.predict(windows), windows.labels()
    assert found.min() == 0.0
    assert np.mean(labels <= found[:, :, 2]) == pytest.approx(0.95, abs=0.02)


def test_a_grid_without_a_season_is_no_use_to_loess() -> None:
    table = pl.DataFrame({"t": np.arange(80), "sold": seasonal(80)})
    panel = Panel.from_table(table, time="t", target="sold")
    split = split_holdout(panel, TASK)
    with pytest.raises(ConfigError, match=r"the grid step has none\. Give mstl\.seasons or the season"):
        fit(MSTL(), panel=panel, split=split, task=TASK)
    assert fit(MSTL(), panel=panel, split=split, task=TASK, season=7).spec == MSTL(seasons=(7,))


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("auto_ets", "form", "AAM"),
        ("auto_ets", "form", "ZZ"),
        ("auto_ets", "season", 0),
        ("auto_arima", "max_p", -1),
        ("auto_ces", "form", "X"),
        ("theta", "history", 0),
        ("mstl", "seasons", (1,)),
        ("mstl", "seasons", (7, 7)),
        ("tsb", "alpha_demand", 0.0),
        ("croston", "form", "best"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"{name}\.{option}"):
        build_spec(name, {option: value})


def test_without_statsforecast_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewright.optional.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"auto_ces needs the package 'statsforecast'.*\[statistics\]"):
        fit_windows(seasonal()[None], AutoCES(season=1), horizon=2, quantiles=(0.5,))


def test_a_newest_window_is_forecast_beyond_the_table() -> None:
    panel, split = make_panel()
    panel = panel.select(["a"])
    model = fit(replace(AutoETS(form="ANN"), history=30), panel=panel, split=split, task=TASK)
    assert np.isfinite(model.predict(newest_windows(panel, model.view, horizon=4))).all()


def test_a_bare_exception_is_a_refusal_only_where_statsforecast_found_no_model() -> None:
    failed: dict[int, str] = {}
    with _Refusal(3, failed):
        raise Exception("no model able to be fitted")  # as statsforecast has it
    assert failed == {3: "Exception: no model able to be fitted"}
    with pytest.raises(Exception, match="fit` method first"), _Refusal(4, failed):
        raise Exception("You have to use the `fit` method first")
    with pytest.raises(KeyError), _Refusal(4, failed):
        raise KeyError("a defect")
    assert list(failed) == [3]
