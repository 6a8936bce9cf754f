"""Scores against scikit-learn, closed forms and sums by hand, and the laws that they obey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sk

from tidewright.errors import ConfigError, DataError, UnknownNameError
from tidewright.metrics.accuracy import (
    METRICS,
    Scored,
    count_cells,
    find_available,
    loss_by_cutoff,
    loss_by_window,
    owa,
    score,
    score_by_series,
    score_by_step,
    sum_by_group,
)

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
NUMBERS = [name for name, metric in METRICS.items() if metric.of == "numbers"]
SEEDS = st.integers(0, 2**16)


def make_parts(seed, *, windows=12, horizon=4, missing=0.2):
    """The parts of a Scored in which each window has at least one known value."""
    generator = np.random.default_rng(seed)
    actual = generator.normal(3.0, 2.0, size=(windows, horizon))
    hide = generator.random(actual.shape) < missing
    hide[:, 0] = False
    actual[hide] = np.nan
    forecast = np.sort(generator.normal(3.0, 2.0, size=(windows, horizon, len(LEVELS))), axis=2)
    scale = generator.uniform(0.5, 2.0, size=windows)
    series = generator.integers(0, 3, size=windows)
    return {
        "actual": actual,
        "forecast": forecast,
        "scale": scale,
        "scale_squared": scale**2,
        "series": series,
    }


def make(seed, **options):
    return Scored(**make_parts(seed, **options), levels=LEVELS)


@given(seed=SEEDS)
def test_point_scores_equal_scikit_learn(seed):
    scored = make(seed)
    y, f = scored.actual[scored.observed], scored.point[scored.observed]
    got = score(scored, ["mae", "mse", "rmse", "mape", "wape", "bias"])
    expected = {
        "mae": sk.mean_absolute_error(y, f),
        "mse": sk.mean_squared_error(y, f),
        "rmse": sk.root_mean_squared_error(y, f),
        "mape": sk.mean_absolute_percentage_error(y, f),
        "wape": sk.mean_absolute_error(y, f) / sk.mean_absolute_error(y, np.zeros_like(y)),
        "bias": float(np.mean(f - y)),
    }
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(seed=SEEDS)
def test_quantile_scores_equal_scikit_learns_pinball_loss(seed):
    scored = make(seed)
    y = scored.actual[scored.observed]
    columns = [scored.forecast[:, :, k][scored.observed] for k in range(len(LEVELS))]
    pinball = np.mean([sk.mean_pinball_loss(y, f, alpha=q) for q, f in zip(LEVELS, columns, strict=True)])
    got = score(scored, ["pinball", "crps", "wql", "coverage"])
    assert got["pinball"] == pytest.approx(pinball, rel=1e-12)
    assert got["crps"] == pytest.approx(2 * pinball, rel=1e-12)
    assert got["wql"] == pytest.approx(2 * pinball / np.mean(np.abs(y)), rel=1e-12)
    assert got["coverage"] == pytest.approx(np.mean((y >= columns[0]) & (y <= columns[-1])), rel=1e-12)


def test_scaled_scores_equal_sums_by_hand():
    scored = Scored(
        [[10.0, 20.0], [30.0, np.nan]],
        [[12.0, 16.0], [33.0, 1.0]],
        scale=[2.0, 3.0],
        scale_squared=[4.0, 9.0],
    )
    got = score(scored, ["mase", "rmsse", "sql"])
    assert got == pytest.approx({"mase": (1 + 2 + 1) / 3, "rmsse": np.sqrt((1 + 4 + 1) / 3), "sql": 4 / 3})


def test_smape_is_a_fraction_from_0_to_2_and_0_where_both_are_0():
    assert score(Scored([[10.0]], [[-10.0]]), ["smape"]) == {"smape": 2.0}
    assert score(Scored([[0.0, 3.0]], [[0.0, 1.0]]), ["smape"]) == {"smape": 0.5}


def test_crps_of_many_levels_approaches_the_closed_form_of_the_normal():
    levels = (np.arange(999) + 1) / 1000
    y = np.array([[-1.5, 0.0, 0.3, 2.0]])
    forecast = np.broadcast_to(norm.ppf(levels), (1, 4, 999))
    closed = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)  # Gneiting and Raftery (2007)
    got = score_by_step(Scored(y, forecast, levels=levels), ["crps"])["crps"]
    np.testing.assert_allclose(got, closed[0], rtol=3e-3)


def test_an_undefined_score_is_nan_and_its_count_zero():
    scored = Scored([[0.0]], [[1.0]], scale=[0.0], scale_squared=[np.nan])
    names = ["mape", "wape", "wql", "mase", "rmsse"]
    assert all(np.isnan(value) for value in score(scored, names).values())
    assert count_cells(scored, ["mape", "mase", "rmsse"]) == {"mape": 0, "mase": 0, "rmsse": 0}


def test_a_window_with_a_scale_of_0_is_left_out_of_mase_alone():
    scored = Scored([[10.0], [20.0]], [[12.0], [21.0]], scale=[0.0, 2.0])
    assert score(scored, ["mae", "mase"]) == {"mae": 1.5, "mase": 0.5}
    assert count_cells(scored, ["mae", "mase"]) == {"mae": 2, "mase": 1}


def test_nothing_observed_gives_nan_and_never_a_warning():
    scored = Scored([[np.nan]], [[1.0]], scale=[1.0], scale_squared=[1.0])
    assert all(np.isnan(value) for value in score(scored).values())
    assert np.isnan(loss_by_window(scored, "wape")).all()


def test_no_windows_at_all_give_nan():
    scored = Scored(np.empty((0, 3)), np.empty((0, 3)))
    assert np.isnan(score(scored, ["mae"])["mae"])


def test_without_names_every_metric_that_can_be_had_is_scored():
    assert set(score(make(0))) == set(NUMBERS)
    bare = Scored([[1.0]], [[2.0]])
    assert set(score(bare)) == set(find_available(bare)) == set(NUMBERS) - {"mase", "sql", "rmsse", "coverage"}


@pytest.mark.parametrize(
    ("name", "need"),
    [
        ("mase", "scale,"),
        ("sql", "scale,"),
        ("rmsse", "scale_squared,"),
        ("coverage", "forecasts at two or more"),
    ],
)
def test_a_metric_says_what_it_lacks(name, need):
    with pytest.raises(DataError, match=f"{name} needs {need}"):
        score(Scored([[1.0]], [[2.0]]), [name])


def test_an_unknown_metric_is_answered_with_the_near_miss():
    with pytest.raises(UnknownNameError, match=r"no metric is called 'smap'\. Did you mean 'smape'\?"):
        score(make(0), ["smap"])


@pytest.mark.parametrize("name", NUMBERS)
@given(seed=SEEDS)
def test_the_order_of_windows_changes_nothing(name, seed):
    parts = make_parts(seed)
    order = np.random.default_rng(seed).permutation(len(parts["series"]))
    moved = Scored(**{key: value[order] for key, value in parts.items()}, levels=LEVELS)
    still = Scored(**parts, levels=LEVELS)
    assert score(moved, [name])[name] == pytest.approx(score(still, [name])[name], rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(
        score_by_series(moved, [name])[name], score_by_series(still, [name])[name], rtol=1e-12, atol=1e-14
    )


POWERS = {"target": 1, "target squared": 2, "fraction": 0, "ratio": 0}


@pytest.mark.parametrize("name", NUMBERS)
@given(seed=SEEDS, factor=st.sampled_from([1e-3, 0.5, 3.0, 1e4]))
def test_a_metrics_unit_says_how_it_scales(name, seed, factor):
    parts = make_parts(seed)
    grown = {key: parts[key] * factor for key in ("actual", "forecast", "scale")}
    grown["scale_squared"] = parts["scale_squared"] * factor**2
    small = score(Scored(**parts, levels=LEVELS), [name])[name]
    big = score(Scored(**(parts | grown), levels=LEVELS), [name])[name]
    assert big == pytest.approx(small * factor ** POWERS[METRICS[name].unit], rel=1e-9, abs=1e-12)


@given(seed=SEEDS)
def test_the_pinball_loss_of_the_median_is_half_the_absolute_error(seed):
    parts = make_parts(seed) | {"forecast": make_parts(seed)["forecast"][:, :, 2]}
    got = score(Scored(**parts), ["pinball", "crps", "mae", "wql", "wape", "sql", "mase"])
    assert got["pinball"] == pytest.approx(got["mae"] / 2)
    assert (got["crps"], got["wql"], got["sql"]) == pytest.approx((got["mae"], got["wape"], got["mase"]))


@pytest.mark.parametrize("name", NUMBERS)
def test_windows_without_actual_values_change_nothing(name):
    parts = make_parts(4)
    added = {key: np.concatenate((value, value[:2])) for key, value in parts.items()}
    added["actual"] = added["actual"].copy()
    added["actual"][-2:] = np.nan
    plain, padded = Scored(**parts, levels=LEVELS), Scored(**added, levels=LEVELS)
    assert score(padded, [name])[name] == pytest.approx(score(plain, [name])[name], rel=1e-12)
    assert count_cells(padded, [name]) == count_cells(plain, [name])
    np.testing.assert_allclose(score_by_step(padded, [name])[name], score_by_step(plain, [name])[name], rtol=1e-12)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_step_is_the_score_of_that_step_alone(name):
    parts = make_parts(5)
    for step, value in enumerate(score_by_step(Scored(**parts, levels=LEVELS), [name])[name]):
        one = slice(step, step + 1)
        cut = parts | {"actual": parts["actual"][:, one], "forecast": parts["forecast"][:, one]}
        assert value == pytest.approx(score(Scored(**cut, levels=LEVELS), [name])[name], rel=1e-12)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_series_is_the_score_of_that_series_alone(name):
    parts = make_parts(6)
    values = score_by_series(Scored(**parts, levels=LEVELS), [name])[name]
    for code, value in zip(np.unique(parts["series"]), values, strict=True):
        mine = parts["series"] == code
        alone = Scored(**{key: part[mine] for key, part in parts.items()}, levels=LEVELS)
        assert value == pytest.approx(score(alone, [name])[name], rel=1e-12)


def test_full_steps_average_to_the_overall_score():
    scored = make(7, missing=0.0)
    for name in ("mae", "mse", "mape", "smape", "mase", "pinball", "crps", "sql", "coverage", "bias"):
        assert score_by_step(scored, [name])[name].mean() == pytest.approx(score(scored, [name])[name], rel=1e-12)


def test_a_score_by_series_needs_the_series():
    with pytest.raises(DataError, match="needs the series of each window"):
        score_by_series(Scored([[1.0]], [[2.0]]), ["mae"])


LOSSES = ["mae", "mse", "mape", "smape", "wape", "mase", "pinball", "wql", "sql", "crps"]


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_full_windows_average_to_the_score(name):
    scored = make(8, missing=0.0)
    cutoff = np.repeat(np.arange(4), 3)
    overall = score(scored, [name])[name]
    assert loss_by_window(scored, name).mean() == pytest.approx(overall, rel=1e-12)
    assert loss_by_cutoff(scored, name, cutoff=cutoff).mean() == pytest.approx(overall, rel=1e-12)


def test_a_windows_loss_is_the_mean_of_its_observed_cells():
    scored = Scored([[1.0, np.nan], [np.nan, np.nan]], [[3.0, 9.0], [1.0, 1.0]])
    np.testing.assert_array_equal(loss_by_window(scored, "mae"), [2.0, np.nan])


def test_cutoffs_may_be_times_and_come_out_in_order():
    days = np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[us]")
    scored = Scored([[1.0], [1.0], [1.0]], [[2.0], [5.0], [4.0]])
    np.testing.assert_array_equal(loss_by_cutoff(scored, "mae", cutoff=days), [4.0, 2.0])


@pytest.mark.parametrize("name", ["rmse", "rmsse", "coverage", "bias"])
def test_a_root_or_a_signed_score_is_no_loss_to_compare(name):
    with pytest.raises(ConfigError, match=f"{name} is no mean loss over cells.*Take one of mae, mse"):
        loss_by_window(make(0), name)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_sums_of_groups_give_the_overall_score(name):
    scored = make(9)
    sums = sum_by_group(scored, name, group=np.arange(12) // 5)
    metric = METRICS[name]
    got = metric.finish(sums.numerator.sum(), denominator=sums.denominator.sum())
    assert sums.groups.tolist() == [0, 1, 2]
    assert float(got) == pytest.approx(score(scored, [name])[name], rel=1e-12)


def test_groups_need_one_entry_a_window():
    with pytest.raises(DataError, match=r"cutoff holds one entry a window: 12 were needed, got shape \(3,\)"):
        loss_by_cutoff(make(0), "mae", cutoff=[1, 2, 3])


def test_owa_of_naive2_itself_is_1():
    assert owa(18.383, 2.395, smape_naive2=18.383, mase_naive2=2.395) == 1.0
    with pytest.raises(ConfigError, match="must be positive, got sMAPE 0"):
        owa(1.0, 1.0, smape_naive2=0.0, mase_naive2=1.0)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_perfect_forecast_is_at_least_as_good_as_any_by_every_metric(name):
    parts = make_parts(10, missing=0.0)
    perfect = Scored(**(parts | {"forecast": np.repeat(parts["actual"][:, :, np.newaxis], 5, axis=2)}), levels=LEVELS)
    poor = Scored(**(parts | {"forecast": parts["forecast"] + 10.0}), levels=LEVELS)
    badness = [METRICS[name].badness(score(s, [name])[name], scored=s) for s in (perfect, poor)]
    assert badness[0] < badness[1]


def test_names_units_and_directions_are_those_of_the_table():
    assert all(name == metric.name for name, metric in METRICS.items())
    assert {metric.name for metric in METRICS.values() if metric.direction == "nearest"} == {
        "coverage",
        "bias",
    }
