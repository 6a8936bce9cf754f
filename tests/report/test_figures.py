"""Each picture alone: it shows what the result holds, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.worlds import NASTY, make_decision, make_panel, make_result
from tidewright.metrics.accuracy import score_by_series, score_by_step
from tidewright.report.draw_data import find_spans
from tidewright.report.draw_forecasts import choose_series, choose_windows
from tidewright.report.draw_models import measure_calibration
from tidewright.report.figures import (
    draw_calibration,
    draw_drawdown,
    draw_equity,
    draw_error_by_series,
    draw_error_by_step,
    draw_forecasts,
    draw_leaderboard,
    draw_missing,
    draw_split,
    draw_weights,
)
from tidewright.report.style import choose_colours, thin, to_times
from tidewright.workflows.result import RunResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return make_result(make_panel(series=5), folder=tmp_path_factory.mktemp("run"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=400), st.integers(4, 60))
def test_a_thinned_line_is_short_ascending_and_keeps_both_ends_and_both_extremes(
    values: list[float], most: int
) -> None:
    line = np.array(values)
    kept = thin(line, most=most)
    assert len(kept) <= max(most + 2, 4)
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, len(line) - 1)
    if not np.isnan(line).all():
        assert np.nanmin(line[kept]) == np.nanmin(line)
        assert np.nanmax(line[kept]) == np.nanmax(line)


def test_the_split_is_drawn_as_bands_in_time_order_at_the_cutoffs(result: RunResult) -> None:
    spans = find_spans(result.split)
    assert [name for name, *_ in spans] == ["train", "purged", "validation", "purged", "test"]
    figure = draw_split(result.panel, result.split, series="shop 2")
    drawn = [(shape.x0, shape.x1) for shape in figure.layout.shapes]
    assert drawn == [tuple(to_times(result.panel, np.array(span[1:3]))) for span in spans]
    line = figure.data[-1]
    assert line.name == "shop 2"
    assert np.array_equal(line.y, result.panel.target[result.panel.rows_of("shop 2")])


def test_the_example_series_of_a_split_is_one_without_gaps(result: RunResult) -> None:
    assert draw_split(result.panel.select(["shop 1", "shop 3"]), result.split).data[-1].name == "shop 3"


def test_missing_values_are_drawn_for_the_series_that_miss_some_and_for_no_other(result: RunResult) -> None:
    figure = draw_missing(result.panel)
    assert figure.layout.yaxis.ticktext == ("shop 1",)
    rows = len(result.panel.table) / result.panel.n_series
    assert np.nansum(figure.data[0].z) / 100 * rows / figure.data[0].z.shape[1] == pytest.approx(6, rel=0.1)
    assert draw_missing(make_panel(gap=False)) is None


def test_the_drawn_windows_of_a_series_never_overlap_and_end_at_the_last(result: RunResult) -> None:
    evaluation = result.evaluations["ridge"]
    index = choose_windows(evaluation, 2)
    cutoffs = evaluation.windows.cutoffs[index]
    assert (np.diff(cutoffs) >= evaluation.windows.horizon).all()
    assert set(evaluation.windows.series[index]) == {2}
    assert cutoffs[-1] == evaluation.windows.cutoffs[evaluation.windows.series == 2].max()


def test_the_chosen_series_have_the_lowest_median_and_highest_error(result: RunResult) -> None:
    evaluation = result.evaluations["naive"]
    errors = score_by_series(evaluation.scored, ["mase"])["mase"]
    chosen = choose_series(evaluation, "mase")
    assert [errors[code] for code in chosen.values()] == [errors.min(), np.median(errors), errors.max()]


def test_a_drawn_forecast_is_the_evaluations_and_its_bands_hold_the_median(result: RunResult) -> None:
    evaluation = result.evaluations["ridge"]
    figure = draw_forecasts(result.panel, evaluation, series={"one": 3}, forecast=result.forecast)
    traces = {trace.name: trace for trace in figure.data}
    index = choose_windows(evaluation, 3)
    lines = np.array(traces["test forecast"].y, dtype=float)
    middle = evaluation.forecast[index][:, :, 1]
    assert np.array_equal(lines[~np.isnan(lines)], middle.reshape(-1))
    band = np.array(traces["test, 80 % band"].y, dtype=float)[: 2 * evaluation.windows.horizon]
    low, high = np.split(band, 2)
    assert (low <= middle[0]).all()
    assert (middle[0] <= high[::-1]).all()
    assert result.forecast is not None
    own = result.forecast.table.filter(pl.col("shop") == "shop 3")
    assert traces["forecast of the future"].y == pytest.approx(own["0.5"].to_numpy())
    assert min(traces["forecast of the future"].x) > max(traces["actual"].x)


def test_the_leaderboard_draws_scores_intervals_and_the_best_floors_line(result: RunResult) -> None:
    board = result.leaderboard
    figure = draw_leaderboard(board)
    drawn = {trace.name: trace for trace in figure.data}
    for row in board.rows:
        score, bars = drawn[row.model].x[0], drawn[row.model].error_x
        assert score == row.test["mase"]
        assert row.interval is not None
        assert (score - bars.arrayminus[0], score + bars.array[0]) == pytest.approx(
            (row.interval.low, row.interval.high)
        )
    assert figure.layout.shapes[0].x0 == board.row(board.best_floor).test["mase"]
    assert drawn[board.winner].marker.symbol == "diamond"
    assert figure.layout.yaxis.ticktext[-1] == f"<b>{board.rows[0].model}</b>"


def test_error_by_step_and_calibration_are_the_scores(result: RunResult) -> None:
    pair = {name: result.evaluations[name] for name in ("ridge", "naive")}
    colours = choose_colours(pair, winner="ridge", floors=["naive"])
    steps = draw_error_by_step(pair, metric="wape", colours=colours)
    for trace in steps.data:
        assert trace.y == pytest.approx(100.0 * score_by_step(pair[trace.name].scored, ["wape"])["wape"])
    levels, shares = measure_calibration(pair["ridge"])
    scored = pair["ridge"].scored
    seen = scored.observed
    assert shares[1] == pytest.approx((scored.actual[seen] <= scored.point[seen]).mean())
    drawn = next(trace for trace in draw_calibration(pair, colours=colours).data if trace.name == "ridge")
    assert (drawn.x, drawn.y) == (pytest.approx(100.0 * levels), pytest.approx(100.0 * shares))


def test_each_series_is_one_dot_with_its_name(result: RunResult) -> None:
    names = tuple(str(name) for name in result.panel.series_ids)
    ours, theirs = result.evaluations["ridge"], result.evaluations["naive"]
    dots = draw_error_by_series(ours, theirs, metric="mae", names=names).data[-1]
    assert list(dots.text) == list(names)
    assert dots.y == pytest.approx(score_by_series(ours.scored, ["mae"])["mae"])
    assert dots.x == pytest.approx(score_by_series(theirs.scored, ["mae"])["mae"])


def test_equity_starts_at_one_and_ends_with_the_net_return() -> None:
    decision = make_decision()
    for trace, strategy in zip(draw_equity(decision.strategies).data, decision.strategies, strict=True):
        assert trace.y[0] == 1.0
        assert trace.y[-1] == pytest.approx(1.0 + strategy.summary["total_return"])


def test_the_deepest_drawdown_drawn_is_the_one_in_the_figures() -> None:
    decision = make_decision()
    for trace, strategy in zip(draw_drawdown(decision.strategies).data, decision.strategies, strict=True):
        assert max(trace.y) == 0.0
        assert min(trace.y) == pytest.approx(-100.0 * strategy.summary["max_drawdown"])


def test_weights_are_drawn_in_percent_largest_on_top() -> None:
    weights = make_decision().weights
    bars = draw_weights(weights).data[0]
    assert sum(bars.x) == pytest.approx(100.0)
    assert list(bars.x) == sorted(bars.x)
    assert bars.customdata[-1] == max(weights.as_dict(), key=weights.as_dict().__getitem__)


def test_no_picture_takes_a_users_name_for_markup(tmp_path: Path) -> None:
    panel = make_panel(series=4, rows=300, names=(NASTY, NASTY + "2"), target="<b>")
    result = make_result(panel, folder=tmp_path)
    evaluation = result.evaluations["naive"]
    names = tuple(str(name) for name in panel.series_ids)
    figures = [
        draw_split(panel, result.split, series=NASTY),
        draw_missing(panel),
        draw_forecasts(panel, evaluation, series={"one": 0}, forecast=result.forecast),
        draw_error_by_series(evaluation, evaluation, metric="mae", names=names),
    ]
    for figure in figures:
        text = figure.to_json()
        assert "<script" not in text
        assert "\\u003cscript" not in text
        assert "&lt;script" in text or "&lt;b" in text
