"""Studies that begin where earlier ones ended: which points they take, from where, and that it is said."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.errors import ConfigError, DataError, FallbackWarning
from tidewright.tuning.account import Earlier
from tidewright.tuning.ranges import Choice, FloatRange, IntRange
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune
from tidewright.tuning.warm import (
    FILE,
    PastStudy,
    WarmStart,
    choose_first,
    count_earlier,
    keep_study,
    measure_distances,
    measure_traits,
    name_series,
    pick_best,
    read_studies,
)

DAMPED = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
SPACE = SearchSpace("net", {"x": FloatRange(0.0, 1.0), "kind": Choice(("a", "b"))})
OWN = PastStudy("own", "net", "data", "mae", "2024-06-30", {"rows": 2.0, "season": None}, ())


def past(study: str, *xs: float, **changes: Any) -> PastStudy:
    best = tuple((number, float(number), {"x": x, "kind": "a"}) for number, x in enumerate(xs))
    return replace(OWN, study=study, best=best, **changes)


def xs_of(warm: WarmStart) -> list[float]:
    return [one.point["x"] for one in warm.points]


def test_the_same_data_go_before_similar_ones_and_the_best_of_each_study_before_its_second() -> None:
    near, far = (
        past("near", 0.1, 0.2, data="n", traits={"rows": 2.1}),
        past("far", 0.5, 0.6, data="f", traits={"rows": 4}),
    )
    warm = choose_first([far, near], OWN, space=SPACE, count=3)
    assert xs_of(warm) == [0.1, 0.5, 0.2]
    assert warm.points[0].notes == ("warm start: trial 0 of study near, on other data (distance 0.11)",)
    same = past("same", 0.9, 0.8)
    warm = choose_first([far, near, same], OWN, space=SPACE, count=3)
    assert xs_of(warm) == [0.9, 0.8]
    assert warm.points[1].notes == ("warm start: trial 1 of study same, on the same data",)
    assert warm.notes == ("warm start: 2 points after the default of earlier studies: same (the same data).",)


def test_another_model_no_study_and_oneself_give_nothing_and_that_is_said() -> None:
    for kept in ([], [past("a", 0.1, model="other")], [past("own", 0.1)], [past("a")]):
        warm = choose_first(kept, OWN, space=SPACE)
        assert warm == WarmStart((), ("warm start: none, for no earlier study of net is kept.",))


def test_a_study_that_was_judged_by_later_labels_is_left_out_for_it_may_know_the_test_part() -> None:
    late, early = past("late", 0.1, until="2024-07-01"), past("early", 0.9, data="e", until="2024-06-30")
    warm = choose_first([late, early], OWN, space=SPACE)
    assert xs_of(warm) == [0.9]
    assert "1 that were judged by labels after 2024-06-30 were left out" in warm.notes[1]
    alone = choose_first([late], OWN, space=SPACE)
    assert not alone.points
    assert "after 2024-06-30 were left out" in alone.notes[0]


def test_points_outside_the_space_are_dropped_aloud_and_further_options_are_cut_off() -> None:
    points = ({"x": 2.0, "kind": "a"}, {"x": 0.4}, {"x": 0.3, "kind": "c"}, {"x": 0.7, "kind": "b", "more": 1})
    kept = replace(past("wide"), best=tuple((k, 0.1 * k, point) for k, point in enumerate(points)))
    warm = choose_first([kept], OWN, space=SPACE)
    assert [one.point for one in warm.points] == [{"x": 0.7, "kind": "b"}]
    assert "3 of their points lay outside this space and were dropped" in warm.notes[0]


def test_the_same_metric_goes_before_another_one_and_what_is_known_is_left_out() -> None:
    other = past("other", 0.1, data="o", metric="mase", traits={"rows": 2.0})
    alike = past("alike", 0.5, 0.51, 0.9, data="a", traits={"rows": 3.0})
    assert xs_of(choose_first([other, alike], OWN, space=SPACE)) == [0.5, 0.1, 0.9]  # 0.51 is nearly 0.5
    known = [{"x": 0.52, "kind": "a"}, {"x": 0.1, "kind": "b"}]
    assert xs_of(choose_first([other, alike], OWN, space=SPACE, known=known)) == [0.1, 0.9]


def test_whose_trials_count_and_why() -> None:
    own = replace(OWN, since="2024-06-01", series=("a", "b"))

    def judge(**changes: Any) -> Earlier:
        (found,) = count_earlier([past("p", 0.1, trials={"p": 12}, series=("b", "c"), **changes)], own)
        return found

    assert judge(metric="mase") == Earlier("p", 12, "by mase on the same data")
    assert judge().why == "by mae on the same data, for another task"
    cut = judge(data="d", until="2024-06-01")
    assert (cut.counted, cut.why[:31]) == (True, "by mae on an earlier cut, or ot")
    before = judge(data="d", until="2024-05-31")
    assert not before.counted
    assert before.why == "its labels end 2024-05-31, before this validation begins, 2024-06-01"
    strange = replace(past("q", 0.1, trials={"q": 5}, data="d"), series=("x",))
    assert count_earlier([strange], own) == (Earlier("q", 5, "it is of other series", False),)
    assert count_earlier([replace(strange, series=())], own)[0].counted  # what isn't known counts
    assert count_earlier([replace(strange, series=("b",), until="")], own)[0].counted


def test_studies_whose_points_a_giver_began_with_count_once_and_oneself_never() -> None:
    giver = past("g", 0.1, metric="mase", trials={"g": 4, "old": 7, "own": 3})
    late = past("h", 0.2, data="d", until="2024-01-01", trials={"h": 2, "old": 7})
    found = count_earlier([late, giver], replace(OWN, since="2024-06-01"))
    assert {one.study: (one.trials, one.counted) for one in found} == {
        "h": (2, False),
        "old": (7, True),
        "g": (4, True),
    }
    assert next(one.why for one in found if one.study == "old") == "g began with its points, by mase on the same data"


def test_only_studies_that_gave_a_point_are_counted() -> None:
    near, far = (past(name, 0.5, data=name, trials={name: 9}, traits={"rows": 2.0 + k}) for k, name in enumerate("nf"))
    warm = choose_first([far, near], OWN, space=SPACE, count=3)  # far's point is near's
    assert [one.study for one in warm.earlier] == ["n"]
    assert WarmStart.from_dict(json.loads(json.dumps(warm.to_dict()))) == warm


def test_series_in_common_have_digests_in_common(build_panel: Any) -> None:
    panel = build_panel()
    whole, one = name_series(panel), name_series(panel.select(["b"]))
    assert len(whole) == 2
    assert set(one) < set(whole)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.lists(st.floats(-0.5, 1.5), max_size=6), st.sampled_from(["data", "b", "c"])), max_size=6),
    st.integers(1, 5),
)
def test_first_points_are_legal_apart_no_more_than_asked_for_and_come_back_from_json(
    kept: list[tuple[list[float], str]], count: int
) -> None:
    studies = [past(f"s{k}", *xs, data=data) for k, (xs, data) in enumerate(kept)]
    warm = choose_first(studies, OWN, space=SPACE, count=count)
    assert len(warm.points) <= count
    assert all(SPACE.holds(one.point) and len(one.notes) == 1 for one in warm.points)
    xs = sorted(xs_of(warm))
    assert all(b - a >= 0.05 - 1e-12 for a, b in pairwise(xs))
    assert WarmStart.from_dict(json.loads(json.dumps(warm.to_dict()))) == warm
    assert choose_first(studies, OWN, space=SPACE, count=count) == warm


def test_the_best_points_of_a_study_are_complete_inside_its_space_and_apart() -> None:
    xs = [0.1, 0.11, 0.5, 1.2, 0.7, 0.9]
    states = [TrialState.COMPLETE] * 5 + [TrialState.PRUNED]
    trials = [
        Trial(k, state, (x,) if state is TrialState.COMPLETE else (), {"x": x, "kind": "a"})
        for k, (x, state) in enumerate(zip(xs, states, strict=True))
    ]
    assert [(number, point["x"]) for number, _, point in pick_best(trials, SPACE)] == [(0, 0.1), (2, 0.5), (4, 0.7)]


def test_distances_are_in_units_of_each_trait_and_leave_out_what_is_missing() -> None:
    own = {"a": 0.0, "b": 10.0, "c": None, "d": 1.0}
    others = [{"a": 1.0, "b": 10.0, "d": 1.0}, {"a": 0.0, "b": 30.0, "c": 2.0, "d": 1.0}, {"c": 1.0}, own]
    near, far, nothing, same = measure_distances(own, others)
    assert near == pytest.approx(1.0 / math.sqrt(2) / (math.sqrt(3) / 4))  # deviation of 0, 1, 0, 0
    assert far == pytest.approx(20.0 / math.sqrt(2) / (20 * math.sqrt(3) / 4))
    assert nothing == math.inf
    assert same == 0.0


def test_traits_do_not_depend_on_the_unit_nor_on_what_comes_later(build_panel: Any) -> None:
    panel = build_panel()
    asked = {"horizon": 7, "until": 100}
    found = measure_traits(panel, **asked)
    assert found["series"] == pytest.approx(math.log10(2))
    assert found["rows"] == pytest.approx(math.log10(101))
    assert found["rows_per_year"] == pytest.approx(math.log10(365.2425), abs=1e-3)
    assert found["season_strength"] > 0.8
    assert measure_traits(build_panel(scale=9.0, after=100), **asked) == found
    table = panel.to_native()
    scaled = Panel.from_table(table.with_columns(table["sold"] * 1000), series="shop", time="day", target="sold")
    for name, value in measure_traits(scaled, **asked).items():
        assert value == pytest.approx(found[name], rel=1e-6)


def test_studies_are_read_as_they_were_kept_the_last_line_of_each(tmp_path: Path) -> None:
    assert read_studies(tmp_path) == ()
    tuples = replace(past("t"), best=((3, 0.5, {"x": 0.25, "sizes": (8, (4, 2))}),))
    for one in (past("a", 0.1), tuples, past("a", 0.1, 0.2)):
        keep_study(tmp_path, one)
    counted = replace(tuples, trials={"t": 4}), past("a", 0.1, 0.2, trials={"a": 2})  # as far as the best ones say
    assert read_studies(tmp_path) == counted
    keep_study(tmp_path, past("a", 0.1, trials={"a": 9, "z": 3}, since="2024-06-01", series=("s",)))
    assert read_studies(tmp_path)[-1] == past("a", 0.1, trials={"a": 9, "z": 3}, since="2024-06-01", series=("s",))


def test_a_line_that_a_kill_cut_off_is_none_and_one_that_is_no_record_is_refused(tmp_path: Path) -> None:
    keep_study(tmp_path, past("a", 0.1))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"study": "b", "mod')
    assert [one.study for one in read_studies(tmp_path)] == ["a"]
    keep_study(tmp_path, past("c", 0.1))
    assert [one.study for one in read_studies(tmp_path)] == ["a", "c"]
    for line in ("nonsense", '{"study": 1}', "[1, 2]", '{"best": [[1]]}'):
        (tmp_path / FILE).write_text(f"{line}\n")
        with pytest.raises(DataError, match=f"line 1 of .*{FILE} is no record of a study"):
            read_studies(tmp_path)


def test_a_study_begins_with_the_best_of_earlier_ones_and_goes_on_with_what_it_began_with(
    build_panel: Any, world: Any, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"model": "damped", "ledger": tmp_path / "ledger", "searcher": "random"}
    first = tune(DAMPED, trials=12, **asked, **world.given)
    assert not any("warm" in note for note in first.notes)
    panel = build_panel(days=190)
    other: dict[str, Any] = {"panel": panel, "split": split_holdout(panel, world.task), "task": world.task}
    cold = tune(DAMPED, trials=6, seed=1, **{**asked, "ledger": tmp_path / "cold"}, **other)
    kept = {"storage": tmp_path / "warm", "warm_start": True, "seed": 1}
    warm = tune(DAMPED, trials=3, **kept, **asked, **other)
    best = pick_best(first.trials, DAMPED)
    assert warm.trials[1].parameters == best[0][2]
    assert warm.trials[1].notes[0].startswith(f"warm start: trial {best[0][0]} of study ")
    assert "on other data (distance" in warm.trials[1].notes[0]
    (note,) = (note for note in warm.notes if note.startswith("warm start"))
    assert note.startswith("warm start: 3 points after the default")
    (tmp_path / "ledger" / FILE).write_text("nonsense\n")  # what it began with is in its own record
    resumed = tune(DAMPED, trials=6, **kept, **asked, **other)
    assert [t.parameters for t in resumed.trials[:3]] == [t.parameters for t in warm.trials]
    assert resumed.trials[3].parameters == best[2][2]
    assert note in resumed.notes
    assert resumed.trials[4].parameters == cold.trials[4].parameters  # the searcher goes on as it would have
    assert resumed.account is not None
    assert resumed.account.trials == 6  # the earlier study's labels end before this validation begins
    (earlier,) = resumed.account.earlier
    assert (earlier.study, earlier.trials, earlier.counted) == (first.account.study, 12, False)
    assert "before this validation begins" in earlier.why
    plain = tune(DAMPED, trials=6, **{**kept, "warm_start": False}, **asked, **other)
    assert plain.account is not None
    assert plain.account.earlier == (earlier,)  # it goes on with what it began with


def test_points_from_another_metric_and_from_an_overlapping_cut_are_counted(
    build_panel: Any, world: Any, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"model": "damped", "ledger": tmp_path, "searcher": "random"}
    first = tune(DAMPED, trials=9, metric="mase", **asked, **world.given)
    panel = build_panel(days=157)
    other: dict[str, Any] = {"panel": panel, "split": split_holdout(panel, world.task), "task": world.task}
    for more, why in (({"metric": "rmse", **world.given}, "by mase on the same data"), (other, "on an earlier cut")):
        warm = tune(DAMPED, trials=5, seed=3, warm_start=True, storage=tmp_path / why, **asked, **more)
        assert first.account is not None
        assert warm.account is not None
        own = [one for one in warm.account.earlier if one.study == first.account.study]
        assert [(one.trials, one.counted) for one in own] == [(9, True)]
        assert why in own[0].why
        assert warm.account.trials == 5 + sum(one.trials for one in warm.account.earlier)
        assert f"9 trials of study {first.account.study}, whose best points it began with, are counted" in str(warm)
        kept = read_studies(tmp_path)[-1]
        assert kept.trials == {warm.account.study: 5, **{one.study: one.trials for one in warm.account.earlier}}
        again = tune(DAMPED, trials=5, seed=3, warm_start=True, storage=tmp_path / why, **asked, **more)
        assert again.account == warm.account


def test_studies_of_the_same_data_are_named_and_counted(world: Any, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "damped", "ledger": tmp_path, "searcher": "random", **world.given}
    tune(DAMPED, trials=5, **asked)
    warm = tune(DAMPED, trials=4, seed=2, warm_start=2, **asked)
    told = [note for trial in warm.trials for note in trial.notes]
    assert len(told) == 2
    assert all(note.endswith("on the same data") for note in told)
    assert warm.account is not None
    assert warm.account.studies == 2


def test_what_can_t_be_done_is_said(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"model": "damped", "trials": 1, **world.given}
    with pytest.raises(ConfigError, match="ledger is False"):
        tune(DAMPED, ledger=False, warm_start=True, **asked)
    with pytest.raises(ConfigError, match="a number of points, 1 or more; got 0"):
        tune(DAMPED, ledger=tmp_path, warm_start=0, **asked)
    with pytest.raises(ConfigError, match="a number of points, 1 or more; got 'yes'"):
        tune(DAMPED, ledger=tmp_path, warm_start="yes", **asked)  # type: ignore[arg-type]
    begun = {"storage": tmp_path / "study", "ledger": tmp_path / "l"}
    tune(DAMPED, **begun, **asked)
    late = tune(DAMPED, warm_start=True, **begun, **{**asked, "trials": 2})
    assert "warm start: none, for the study had begun without it." in late.notes
    monkeypatch.setattr("tidewright.tuning.warm_study.keep_study", _refuse)
    with pytest.warns(FallbackWarning, match="could not be kept for later ones: full"):
        study = tune(DAMPED, ledger=tmp_path, **asked)
    assert any("could not be kept for later ones" in note for note in study.notes)


def _refuse(folder: Path, past: PastStudy) -> None:
    raise OSError("full")
