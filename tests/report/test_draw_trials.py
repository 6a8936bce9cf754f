"""The pictures of a search: the numbers in them are the trials', and nothing breaks them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.report.searches import SPACE, make_tried
from tests.report.worlds import NASTY
from tidewright.report.draw_options import BEYOND, UNUSED, choose_options
from tidewright.report.draw_trials import choose_log_ticks, choose_reports, find_front
from tidewright.report.figures import (
    draw_front,
    draw_history,
    draw_option_importance,
    draw_parallel,
    draw_reports,
    draw_slices,
)
from tidewright.report.trial_marks import MOST_DRAWN, mark_trials, thin_trials
from tidewright.tuning.importance import OptionImportance
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried

OPTIONS = ("model.hidden", "train.learning_rate", "model.head", "model.sizes", "train.batch_size")


def test_the_history_has_each_trials_score_the_best_so_far_and_those_without_one() -> None:
    tried = make_tried()
    traces = {trace.name: trace for trace in draw_history(tried).data}
    near = [trial for trial in tried.scored if trial.number != 3]
    assert list(traces["complete"].x) == [trial.number for trial in near]
    assert list(traces["complete"].y) == [trial.values[0] for trial in near]
    assert list(traces["far off"].x) == [3]
    assert traces["far off"].customdata[0] == 1e9  # the true one, in the text
    assert traces["far off"].y[0] < 4.0
    assert list(traces["failed (no score)"].x) == [6]
    assert tried.best is not None
    assert set(traces["pruned (no score)"].y) == {tried.best.values[0]}
    line = traces["best so far"]
    assert (line.x[-1], line.y[-1]) == (39, tried.best.values[0])
    assert list(line.y[:-1]) == sorted(line.y[:-1], reverse=True)


def test_a_metric_of_which_more_is_better_is_drawn_as_it_is() -> None:
    tried = make_tried(metrics=("sharpe",))
    figure = draw_history(tried)
    traces = {trace.name: trace for trace in figure.data}
    assert traces["complete"].y[0] == -tried.trials[0].values[0]
    assert (np.diff(traces["best so far"].y) >= 0).all()
    assert figure.layout.yaxis.title.text == "Sharpe"
    wape = draw_history(make_tried(metrics=("wape",)))
    assert wape.layout.yaxis.title.text == "WAPE, %"
    assert wape.data[0].y[0] == pytest.approx(100.0 * tried.trials[0].values[0])


def test_a_slice_is_the_score_over_the_option_on_the_axis_of_its_range() -> None:
    tried = make_tried()
    figure = draw_slices(tried, options=OPTIONS)
    traces = {trace.name: trace for trace in figure.data}
    rates = traces["train.learning_rate"]
    assert list(rates.x) == [trial.parameters["train.learning_rate"] for trial in tried.scored]
    assert [row[0] for row in rates.customdata] == [trial.number for trial in tried.scored]
    assert [row[2] for row in rates.customdata] == [trial.values[0] for trial in tried.scored]
    axes = [figure.layout[f"xaxis{n or ''}"] for n in ("", 2, 3, 4, 5)]
    assert (axes[1].type, axes[0].type) == ("log", None)
    assert axes[1].range == pytest.approx((-5.2, -0.8))
    assert axes[1].ticktext == ("1e-05", "0.0001", "0.001", "0.01", "0.1")
    assert axes[2].ticktext[0] == "linear"
    assert axes[2].ticktext[2] == "none"
    assert axes[2].ticktext[1].startswith("&lt;script&gt;")
    there = [trial for trial in tried.scored if "model.sizes" in trial.parameters]
    assert 0 < len(there) < len(tried.scored)
    assert len(traces["model.sizes"].x) == len(there)
    diamond = [symbol == "diamond" for symbol in rates.marker.symbol]
    assert tried.best is not None
    assert [row[0] for row, is_best in zip(rates.customdata, diamond, strict=True) if is_best] == [tried.best.number]


def test_a_default_outside_the_space_is_on_the_axis_too() -> None:
    odd = Trial(
        40, TrialState.COMPLETE, (0.9,), {"model.hidden": 512, "train.learning_rate": 1e-7, "model.head": "gone"}
    )
    tried = replace(make_tried(), trials=(*make_tried().trials, odd))
    figure = draw_slices(tried, options=OPTIONS)
    traces = {trace.name: trace for trace in figure.data}
    assert 512 in traces["model.hidden"].x
    assert figure.layout.xaxis.range[1] > 512
    assert figure.layout.xaxis2.range[0] < -7.0
    assert 40 not in [row[0] for row in traces["model.head"].customdata]
    best = draw_parallel(tried, options=OPTIONS).data[-1]
    assert list(best.y[:3]) == [1.0 + BEYOND, -BEYOND, UNUSED]


def test_a_line_of_the_parallel_axes_goes_through_a_trials_values() -> None:
    tried = make_tried()
    figure = draw_parallel(tried, options=OPTIONS)
    lines = {}
    for trace in figure.data:
        rows = np.array([math.nan if value is None else value for value in trace.y]).reshape(-1, len(OPTIONS) + 2)
        lines |= dict(zip(trace.text[:: len(OPTIONS) + 2], rows, strict=True))
    assert len(lines) == len(tried.scored)
    for trial in tried.scored:
        line = lines[f"trial {trial.number}"]
        assert line[0] == pytest.approx((trial.parameters["model.hidden"] - 16) / 240, abs=1e-4)
        assert line[1] == pytest.approx((math.log10(trial.parameters["train.learning_rate"]) + 5) / 4, abs=1e-4)
        assert line[2] == ("linear", NASTY, None).index(trial.parameters["model.head"]) / 2
        assert (line[3] == UNUSED) == ("model.sizes" not in trial.parameters)
    scores = [lines[f"trial {trial.number}"][5] for trial in tried.scored]
    order = np.argsort([trial.values[0] for trial in tried.scored])
    assert (np.diff(np.array(scores)[order]) >= 0).all()
    assert (min(scores), max(scores)) == (0.0, 1.0)
    assert figure.layout.yaxis.ticktext == ("not there",)


def test_reports_are_the_trials_own_without_what_is_no_number() -> None:
    tried = make_tried()
    figure = draw_reports(tried)
    assert figure is not None
    traces = {trace.name: trace for trace in figure.data}
    assert set(traces) == {"complete", "pruned", "failed", "best"}
    pruned = [trial for trial in tried.trials if trial.state is TrialState.PRUNED]
    assert [value for value in traces["pruned"].y if value is not None] == [
        value for trial in pruned for _, value in trial.steps
    ]
    eight = [y for y, text in zip(traces["complete"].y, traces["complete"].text, strict=True) if text == "trial 8"]
    assert eight == [1.5, None]
    assert draw_reports(replace(tried, trials=(Trial(0, TrialState.FAILED),))) is None


def test_the_reports_of_many_trials_are_thinned_and_the_best_is_among_them() -> None:
    tried = make_tried(600)
    drawn = choose_reports([trial for trial in tried.trials if trial.finite_steps])
    assert len(drawn) <= 110
    assert tried.best in drawn
    assert {trial.state for trial in drawn} >= {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_front_is_what_none_beats() -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(0, 9, (60, 3)).astype(float)
    beaten = [any((a <= b).all() and (a < b).any() for a in values) for b in values]
    assert find_front(values).tolist() == np.flatnonzero(~np.array(beaten)).tolist()
    tried = make_tried(metrics=("mase", "weights"))
    traces = {trace.name: trace for trace in draw_front(tried).data}
    ends = [tried.scored[row] for row in find_front(np.array([trial.values for trial in tried.scored]))]
    assert [row[0] for row in traces["front"].customdata] == [trial.number for trial in ends]
    assert [row[1:] for row in traces["front"].customdata] == [list(trial.values) for trial in ends]
    assert len(traces["front"].x) + len(traces["beaten"].x) == len(tried.scored)
    three = replace(tried, goals=(*tried.goals, tried.goals[0]))
    more = tuple(replace(t, values=(*t.values, 0.5) if t.values else ()) for t in tried.trials)
    assert len(draw_front(replace(three, trials=more)).data) == 6  # three pairs, two traces each


def test_importance_is_drawn_in_percent_the_first_on_top() -> None:
    found = OptionImportance("fanova", {"a": 0.6, NASTY: 0.2}, {"a": 0.1, NASTY: 0.3}, {"a": 30, NASTY: 30}, {})
    figure = draw_option_importance(found)
    assert list(figure.data[0].x) == [20.0, 60.0]
    assert list(figure.data[0].error_x.array) == [30.0, 10.0]
    assert figure.layout.yaxis.ticktext[1] == "a"
    assert "<script" not in str(figure.to_json())


def test_many_trials_are_thinned_and_the_best_stay() -> None:
    tried = make_tried(1000)
    drawn = thin_trials(tried.scored)
    assert len(drawn) == MOST_DRAWN
    ranked = sorted(tried.scored, key=lambda trial: trial.values)
    assert set(t.number for t in ranked[:100]) <= set(t.number for t in drawn)
    assert [t.number for t in drawn] == sorted(t.number for t in drawn)
    assert len(thin_trials(tried.scored[:30])) == 30


def test_scores_are_only_pressed_to_the_edge_where_the_others_would_be_a_line() -> None:
    done = [Trial(n, TrialState.COMPLETE, (value,), {}) for n, value in enumerate([0.7, 0.71, 0.72, 0.73, 0.74, 1.0])]
    tried = Tried(SPACE, tuple(done), make_tried(1).goals)
    assert not mark_trials(tried).far.any()
    far = replace(tried, trials=(*done, Trial(6, TrialState.COMPLETE, (50.0,), {})))
    assert mark_trials(far).far[-1]
    assert mark_trials(far).scores[-1] == 50.0


def test_one_trial_equal_scores_and_no_trial_are_drawn() -> None:
    one = make_tried(1)
    options = choose_options(one, None)
    for figure in (draw_history(one), draw_slices(one, options=options), draw_parallel(one, options=options)):
        assert figure.data
    assert "one" not in options  # it can't vary
    same = replace(one, trials=tuple(replace(one.trials[0], number=n) for n in range(20)))
    assert draw_parallel(same, options=options).data[0].y[len(options)] == 0.5
    failed = replace(one, trials=(Trial(0, TrialState.FAILED, error="no"),))
    assert [trace.name for trace in draw_history(failed).data] == ["complete", "failed (no score)"]
    assert draw_history(replace(one, trials=())).data


@pytest.mark.parametrize(("low", "high"), [(0.7, 40.0), (1e-9, 1e12), (3.0, 4.0), (1.0, 1.0)])
def test_ticks_of_a_logarithmic_axis_are_few_and_inside(low: float, high: float) -> None:
    ticks = choose_log_ticks(low, high)
    assert len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(ticks)
