"""The page of a study: whole, safe, true to its trials, and not large."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.pages import read_page
from tests.report.searches import SPACE, make_tried
from tests.report.worlds import NASTY, make_panel, make_result, make_study
from tidewright.metrics.selection import Overfitting
from tidewright.portfolio.inference import DeflatedSharpe
from tidewright.report.about_trials import list_reasons, list_seconds
from tidewright.report.html import render_report
from tidewright.report.page import render_page
from tidewright.report.study_page import collect_study, write_study_page
from tidewright.tuning.account import Account, Skill
from tidewright.tuning.ranges import Choice
from tidewright.tuning.repeats import Noise
from tidewright.tuning.rules import Rule
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried

PICTURES = {"history-0", "importance-0", "slices", "parallel", "reports"}
ACCOUNT = Account("mase", "one", 3, 2, 41, 39, 12.34, 30, 60, 0.7111, 0.7533, Overfitting(0.22, 16, 12_870, 30, ()))


@pytest.fixture(scope="module", name="study")
def make(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with pruned and failed trials, asked for as `tune` is."""
    result = make_result(make_panel(series=2, rows=200), folder=tmp_path_factory.mktemp("run"))
    asked = {"searcher": "auto", "pruner": "median", "trials": 14, "budget_s": 20.0}
    notes = ("points are of gp: it finds more.", f"a note with {NASTY}")
    return replace(make_study(result.fitted["naive"]), account=ACCOUNT, asked=asked, notes=notes)


def test_a_page_of_trials_has_every_picture_with_the_models_name_and_words(tmp_path: Path) -> None:
    path = write_study_page(make_tried(), tmp_path / "new" / "study.html")
    html = path.read_text()
    page = read_page(html)
    assert set(page.figures) == {f"study-lstm-{name}" for name in PICTURES}
    charts = {known["id"].removeprefix("chart-"): known for tag, known in page.tags if known.get("class") == "chart"}
    assert set(charts) == set(page.figures)
    assert all(known["role"] == "img" and len(known["aria-label"]) > 20 for known in charts.values())
    assert not any(trace["type"].endswith("gl") for one in page.figures.values() for trace in one["data"])
    assert "<script>alert" not in html
    tried = make_tried()
    assert tried.best is not None
    shown = next(row for row in page.rows if row[0].startswith(f"{tried.best.number} best"))
    assert float(shown[2]) == pytest.approx(tried.best.values[0], abs=6e-4)
    assert next(row for row in page.rows if row[0] == "6")[1].startswith("failed")
    assert "complete trials have it, and 15 are needed" in page.text  # model.sizes, of a branch


def test_what_a_study_knows_beside_its_trials_is_told(study: Study) -> None:
    page = read_page(render_page(collect_study(study)))
    assert page.row("lstm")[1:] == ["0.7111", "0.7533", "not scored"]
    told = page.sections["study-lstm"]
    for words in ("auto", "gp: it finds more", "asked for: 14", "105", "12 complete, 1 pruned, 1 failed", NASTY):
        assert words in told, words
    changed = page.row("model.hidden")
    assert changed[1:] == ["default of the model", str(study.best.parameters["model.hidden"]), "changed"]


def test_where_seeds_decided_the_score_is_said_to_be_of_fresh_ones(study: Study) -> None:
    noise = Noise(0.2, 0.1, {study.best.number: 0.75}, study.best.number, 0.8, 0.3, 2)
    noisy = replace(study, noise=noise, account=replace(ACCOUNT, score=0.8, corrected=0.85, seeds=2))
    page = collect_study(noisy)
    tile = next(tile for tile in page.tiles if tile.title.startswith("Validation"))
    assert float(tile.value) == 0.8
    assert tile.note == "over 2 fresh seeds"
    text = read_page(render_page(page))
    assert [*map(float, text.row("lstm")[1:3])] == [0.8, 0.85]
    assert "over 2 fresh seeds" in text.sections["winner"]


def test_a_strategys_luck_is_told(study: Study) -> None:
    skill = Skill(0.05, 250, DeflatedSharpe(0.03, 0.87, 12.0, 0.01), math.inf)
    account = replace(ACCOUNT, metric="sharpe", skill=skill)
    page = read_page(render_page(collect_study(replace(study, metric="sharpe", account=account))))
    assert "87" in page.sections["winner"]
    assert "none is long enough" in page.sections["winner"]
    assert "there are 250" in page.sections["winner"]


def test_several_objectives_have_a_front_in_place_of_slices() -> None:
    page = read_page(render_page(collect_study(make_tried(metrics=("mase", "weights")))))
    names = {name.removeprefix("study-lstm-") for name in page.figures}
    assert names == {"history-0", "history-1", "front", "importance-0", "importance-1", "parallel", "reports"}
    assert "Trial by trial: weights" in page.text


def test_a_study_in_which_all_failed_one_trial_none_and_a_running_one_have_a_page() -> None:
    whole = make_tried()
    failed = replace(whole, trials=tuple(Trial(n, TrialState.FAILED, error=f"no {n}") for n in range(4)))
    page = read_page(render_page(collect_study(failed)))
    assert "No trial of lstm is complete" in page.text
    assert set(page.figures) == {"study-lstm-history-0"}
    assert "No trial is complete, so there is no score to draw" in page.text
    one = read_page(render_page(collect_study(replace(whole, trials=whole.trials[:1]))))
    assert "15 complete trials inside the space are needed, and there are 1" in one.text
    assert set(one.figures) == {f"study-lstm-{name}" for name in PICTURES - {"importance-0"}}
    assert "No trial was made." in read_page(render_page(collect_study(replace(whole, trials=())))).text
    running = replace(whole, trials=(*whole.trials, Trial(40, TrialState.RUNNING, parameters={})))
    assert "1 trial of them still running" in read_page(render_page(collect_study(running))).text


def test_names_with_odd_characters_are_escaped_and_make_no_markup() -> None:
    rules = {f"model.sizes{NASTY}": Rule(when={f"model.head{NASTY}": Choice((NASTY,))})}
    odd = SearchSpace(f"{NASTY} & co", {f"{name}{NASTY}": one for name, one in SPACE.ranges.items()}, rules)
    tried = make_tried()
    trials = tuple(
        replace(trial, parameters={f"{name}{NASTY}": value for name, value in trial.parameters.items()})
        for trial in tried.trials
    )
    html = render_page(collect_study(Tried(odd, trials, tried.goals)))
    page = read_page(html)
    assert "<script>alert" not in html
    assert set(page.figures) == {f"study-script-alert-1-script-co-{name}" for name in PICTURES}
    slices = page.figures["study-script-alert-1-script-co-slices"]
    assert all("<script" not in trace["name"] for trace in slices["data"])


def test_a_page_of_a_thousand_trials_is_not_much_larger_than_one_of_forty_and_says_what_it_leaves_out() -> None:
    small, large = (render_page(collect_study(make_tried(count))) for count in (40, 1000))
    assert len(large) - len(small) < 800_000
    count = len(make_tried(1000).scored)
    assert f"400 of {count} trials are drawn: the best, and others evenly." in large
    assert "Show the first 200 of 1,000 trials" in large


def test_reasons_that_differ_in_numbers_are_counted_together_and_time_is_by_state() -> None:
    tried = make_tried()
    table = list_reasons(tried)
    assert table is not None
    assert [(row[0].text, row[1].text) for row in table.rows] == [("7", "pruned"), ("1", "failed")]
    assert list_reasons(replace(tried, trials=tried.trials[:2])) is None
    seconds = {row[0].text: row[2].value for row in list_seconds(tried, whole=100.0).rows}
    assert seconds == {"complete": 64.0, "pruned": 14.0, "failed": 2.0, "choosing, keeping and waiting": 20.0}
    assert "at the same time" in list_seconds(tried, whole=50.0).caption


def test_a_run_with_a_search_shows_the_same_pictures(study: Study, tmp_path: Path) -> None:
    result = replace(make_result(make_panel(series=2, rows=200), folder=tmp_path), study=study)
    page = read_page(render_report(result))
    drawn = {name for name in page.figures if name.startswith("tuning-lstm-")}
    assert drawn == {f"tuning-lstm-{name}" for name in PICTURES - {"importance-0", "reports"}}
