"""A space that adapts: a pure function of the trials, within the whole, and told of."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.test_searchers import MIXED
from tidewright.errors import ConfigError
from tidewright.training.events import TrialEnded
from tidewright.tuning.adaptive import AdaptiveSearchSpace
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.patterns import PerformanceTracker
from tidewright.tuning.ranges import Choice, FloatRange, IntRange
from tidewright.tuning.search import Plan, search
from tidewright.tuning.searchers.adaptive import AdaptiveSearcher, sum_up
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.untried import draw_point, label_of, rng_of
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.store import TrialStore
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

PLANE = SearchSpace("plane", {"x": FloatRange(0.0, 1.0), "y": FloatRange(0.0, 1.0)})
MORE = {"lr": FloatRange(1e-5, 1e-1, log=True), "wide": FloatRange(0.0, 1.0, step=0.125)}
SPACE = replace(MIXED, ranges={**MIXED.ranges, **MORE})
STATES = (TrialState.COMPLETE,) * 3 + (TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING)


def ended(number: int, point: Any, value: float) -> Trial:
    return Trial(number, TrialState.COMPLETE, (value,), dict(point))


def bowl(assignment: Assignment) -> Outcome:
    point = assignment.point
    return Outcome(((point["x"] - 0.3) ** 2 + (point["y"] - 0.8) ** 2,))


def adapt(name: str = "random", space: SearchSpace = PLANE, **changes: Any) -> AdaptiveSearcher:
    return AdaptiveSearcher(SEARCHERS.load(name), AdaptiveSearchSpace(space, **changes))


def make_plan(**changes: Any) -> Plan:
    limits = Limits(0.0, None, changes.pop("trials", 30), lambda: 0.0)
    return Plan(**{"space": PLANE, "searcher": adapt(), "limits": limits, "seed": 3, **changes})


@st.composite
def histories(draw: st.DrawFn) -> list[Trial]:
    """Trials of the mixed space that ended in any way, with any values, ties among them."""
    values = draw(st.lists(st.floats(-5, 5, width=16), min_size=0, max_size=45))
    seed = draw(st.integers(0, 9))
    trials = []
    for number, value in enumerate(values):
        state = STATES[draw(st.integers(0, 5))]
        point = draw_point(SPACE, rng_of(History(SPACE, (), number, seed)))
        found = ended(number, point, value)
        trials.append(found if state is TrialState.COMPLETE else replace(found, state=state, values=()))
    return trials


@settings(deadline=None, max_examples=60)
@given(histories())
def test_a_focus_lies_in_the_whole_holds_the_best_and_keeps_choices_and_bound_options(trials: list[Trial]) -> None:
    adaptive = AdaptiveSearchSpace(SPACE)
    focus = adaptive.focus(trials)
    best = PerformanceTracker(SPACE, trials).best
    assert adaptive.free == ("rate", "units", "momentum", "lr", "wide")
    for name, whole in SPACE.ranges.items():
        part = focus.space.ranges[name]
        if name not in adaptive.free:
            assert part == whole
            continue
        assert whole.holds(part.low)
        assert whole.holds(part.high)
        assert (part.log, part.step) == (whole.log, whole.step)
        if focus.revision and name in best.parameters:
            value = best.parameters[name]
            assert part.low <= value * (1 + 1e-12)
            assert value <= part.high * (1 + 1e-12)
    for turn in range(3):
        assert SPACE.holds(draw_point(focus.space, rng_of(History(SPACE, (), 0, 1), turn)))


@settings(deadline=None, max_examples=30)
@given(histories())
def test_it_is_a_function_of_what_is_complete_and_of_its_direction_alone(trials: list[Trial]) -> None:
    adaptive = AdaptiveSearchSpace(SPACE)
    focus = adaptive.focus(trials)
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert adaptive.focus(complete) == adaptive.focus(tuple(reversed(complete))) == focus
    turned = [replace(trial, values=(-trial.values[0],)) for trial in complete]
    assert replace(adaptive, direction="maximize").focus(turned) == focus
    scaled = [replace(trial, values=(2 * trial.values[0],)) for trial in complete]
    assert adaptive.focus(scaled) == focus


def test_a_logarithmic_range_is_narrowed_by_ratios() -> None:
    both = SearchSpace("both", {"rate": FloatRange(1e-6, 1.0, log=True), "power": FloatRange(-6.0, 0.0)})
    trials = [ended(k, {"rate": 10.0 ** (-k / 5), "power": -k / 5}, abs(k - 15)) for k in range(30)]
    part = AdaptiveSearchSpace(both).focus(trials).space.ranges
    for end in ("low", "high"):
        assert math.log10(getattr(part["rate"], end)) == pytest.approx(getattr(part["power"], end))
    assert part["rate"].low < 1e-3 < part["rate"].high < 1e-2


def test_without_a_gain_it_narrows_step_by_step_and_is_the_whole_again_and_a_gain_keeps_the_width() -> None:
    adaptive = AdaptiveSearchSpace(PLANE, start=5, every=2, least=0.3)
    points = [{"x": (k * 0.618) % 1, "y": (k * 0.382) % 1} for k in range(40)]
    stuck = [ended(k, points[k], float(k > 0)) for k in range(40)]
    widths = [adaptive._width([*stuck], revision) for revision in range(8)]
    assert widths == pytest.approx([1.0, 0.7, 0.56, 0.448, 0.3584, 1.0, 0.8, 0.64])
    seen = [adaptive.focus(stuck[:count]) for count in (4, 5, 7, 9, 11, 13)]
    assert [one.revision for one in seen] == [0, 1, 2, 3, 4, 5]
    assert "narrowed" in seen[2].changes[0]
    assert seen[5].changes == ("x widened to 0 to 1", "y widened to 0 to 1")
    gaining = [ended(k, points[k], -float(k)) for k in range(40)]
    assert [adaptive._width(gaining, revision) for revision in range(1, 5)] == pytest.approx([0.7] * 4)


def test_an_option_that_matters_is_narrowed_more_than_one_that_does_not() -> None:
    points = [{"x": k / 40, "y": k * 7 % 40 / 40} for k in range(40)]
    trials = [ended(k, points[k], abs(points[k]["x"] - 0.5)) for k in range(40)]
    part = AdaptiveSearchSpace(PLANE).focus(trials).space.ranges
    spreads = PerformanceTracker(PLANE, trials).spreads()
    assert spreads["x"] < 0.3
    assert spreads["y"] > 0.8
    assert part["x"].high - part["x"].low < 0.5 * (part["y"].high - part["y"].low)


@pytest.mark.parametrize(
    "change",
    [
        {"start": 12}, {"every": 5}, {"width": 0.5}, {"narrow": 0.6}, {"least": 0.5}, {"good_share": 0.9},
        {"direction": "maximize"},
    ],
)  # fmt: skip
def test_every_option_changes_the_focus(change: dict[str, Any]) -> None:
    trials = [ended(k, {"x": (k * 0.618) % 1, "y": (k * 0.37) % 1}, abs((k * 0.618) % 1 - 0.4)) for k in range(29)]
    adaptive = AdaptiveSearchSpace(PLANE)
    assert replace(adaptive, **change).focus(trials) != adaptive.focus(trials)


def test_the_share_that_explores_lies_anywhere() -> None:
    trials = tuple(ended(k, {"x": 0.5 + 0.001 * k, "y": 0.5}, k) for k in range(28))
    points = {
        share: [adapt(explore=share).suggest(History(PLANE, trials, number, 1)) for number in range(28, 68)]
        for share in (0.0, 0.25, 1.0)
    }
    outside = {share: sum(not 0.3 < one["x"] < 0.7 for one in found) for share, found in points.items()}
    assert outside[0.0] == 0
    assert 0 < outside[0.25] < outside[1.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"every": 0}, "numbers of trials"),
        ({"least": 0.9}, "shares of a range"),
        ({"narrow": 1.0}, "narrow is above 0"),
        ({"explore": 1.1}, "explore from 0 to 1"),
        ({"direction": "up"}, "minimize or maximize"),
        ({"good_share": 0.0}, "good_share"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AdaptiveSearchSpace(PLANE, **change)


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "grid", "auto"])
def test_any_searcher_suggests_new_legal_points_from_the_history_alone(name: str) -> None:
    space = SearchSpace("small", {"n": IntRange(0, 19), "kind": Choice(("a", "b"))}) if name == "grid" else SPACE
    kept, trials = adapt(name, space), []
    for number in range(18):
        history = History(space, tuple(trials), number, 7)
        point, notes = kept.suggest(history), kept.explain(history)
        fresh = adapt(name, space)
        assert fresh.explain(history) == notes
        assert fresh.suggest(history) == point
        assert space.holds(point)
        assert label_of(space, point) not in {label_of(space, trial.parameters) for trial in trials}
        trials.append(replace(ended(number, point, abs(point.get("n", point.get("units")) - 12)), notes=notes))
    assert any("adaptive" in note for trial in trials for note in trial.notes)


def test_a_finite_space_is_tried_to_its_end() -> None:
    small = SearchSpace("small", {"n": IntRange(0, 29)})
    searcher, trials = adapt("random", small), []
    for number in range(30):
        point = searcher.suggest(History(small, tuple(trials), number, 2))
        trials.append(ended(number, point, abs(point["n"] - 12)))
    assert {trial.parameters["n"] for trial in trials} == set(range(30))
    assert searcher.suggest(History(small, tuple(trials), 30, 2)) is None


def test_several_objectives_are_refused() -> None:
    trials = tuple(Trial(k, TrialState.COMPLETE, (0.1, 0.2), {"x": k / 9, "y": 0.5}) for k in range(9))
    with pytest.raises(ConfigError, match="an adaptive space makes one objective small"):
        adapt().suggest(History(PLANE, trials, 9, 1))


def test_a_study_that_goes_on_is_the_one_that_did_not_stop_notes_too() -> None:
    store, told = TrialStore.in_memory(), []
    search(bowl, make_plan(trials=17), store=store)
    resumed = search(bowl, make_plan(callbacks=(told.append,)), store=store).trials
    whole = search(bowl, make_plan(), store=TrialStore.in_memory()).trials
    for pair in zip(resumed, whole, strict=True):
        assert len({str((t.parameters, t.values, t.notes)) for t in pair}) == 1
    plain = search(bowl, make_plan(searcher=SEARCHERS.load("random")()), store=TrialStore.in_memory()).trials
    assert min(t.values for t in whole) < min(t.values for t in plain)
    assert [t.notes for t in plain] == [()] * 30
    assert all(one.notes == whole[one.number].notes for one in told if isinstance(one, TrialEnded))
    (line,) = sum_up(whole, AdaptiveSearchSpace(PLANE))
    assert line.startswith("adaptive space: ")
    assert "ranges narrowed" in line
    (line,) = sum_up(plain[:4], AdaptiveSearchSpace(PLANE))
    assert line == "adaptive space: nothing changed, for it narrows after 10 complete trials, and 4 of 4 are."
    flat = SearchSpace("plane", {"x": Choice((1, 2))})
    assert sum_up(plain, AdaptiveSearchSpace(flat))[0].endswith("for each option is a choice, or bound to others.")


def test_what_was_noted_of_a_running_trial_is_there_after_its_worker_died() -> None:
    store, plan = TrialStore.in_memory(), make_plan()
    search(bowl, make_plan(trials=13), store=store)
    claimed = store.claim(plan.choose)
    assert isinstance(claimed, Trial)
    assert claimed.notes
    store.let_go(claimed.number, died=False)
    again = store.claim(plan.choose)
    assert again == claimed
    assert search(bowl, make_plan(trials=14), store=store).trials[13].notes[0] == claimed.notes[0]


def test_tune_has_it_by_name_and_off_by_default(world: Any) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
    asked = {"model": "damped", "trials": 16, "searcher": "random", "ledger": False, **world.given}
    plain, adaptive = tune(space, **asked), tune(space, adaptive=True, **asked)
    assert not any("adaptive" in note for note in plain.notes)
    assert any(note.startswith("adaptive space: ") for note in adaptive.notes)
    assert "adaptive space: " in str(adaptive)
    few = tune(space, adaptive=True, **{**asked, "trials": 3})
    assert few.notes[-1].startswith("adaptive space: nothing changed, for it narrows after 10 complete trials, and 3")
    early = tune(space, adaptive=AdaptiveSearchSpace(space, start=4), **asked)
    assert early.trials[6].notes
    assert not adaptive.trials[6].notes
    with pytest.raises(ConfigError, match="the adaptive space is of plane"):
        tune(space, adaptive=AdaptiveSearchSpace(PLANE), **asked)


def test_a_tracker_says_whether_it_still_gains() -> None:
    trials = [ended(k, {"x": k / 50, "y": 0.5}, abs(k - 10)) for k in range(50)]
    tracker = PerformanceTracker(PLANE, trials)
    assert tracker.best.number == 10
    assert tracker.stalled == 39
    assert tracker.has_converged(30)
    assert not tracker.has_converged(40)
    assert not PerformanceTracker(PLANE, ()).has_converged(1)
    up = PerformanceTracker(PLANE, trials, direction="maximize")
    assert up.best.number == 49
    assert {trial.number for trial in up.good} == set(range(40, 50))
