"""The page: whole, safe, in order, and true to the result."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.report.pages import Page, read_page
from tests.report.worlds import FLOORS, NASTY, make_decision, make_panel, make_result, make_study
from tidewright.data.panel import Panel
from tidewright.metrics.bootstrap import Interval
from tidewright.report.about_decision import tell_decision
from tidewright.report.blocks import Words
from tidewright.report.decision_sheet import write_decision_sheet
from tidewright.report.figures import draw_search
from tidewright.report.html import render_report, write_report
from tidewright.report.numbers import write_number, write_percent
from tidewright.training.compare import Comparison
from tidewright.workflows.result import Note, RunResult
from tidewright.workflows.search_record import Attempt, Search

SECTIONS = ["data", "split", "leaderboard", "forecasts", "errors", "tuning", "bundle", "decision", "notes", "reproduce"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run without a decision and a search."""
    return make_result(folder=tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def full(bare: RunResult) -> RunResult:
    """A run with everything."""
    return replace(bare, decision=make_decision(), study=make_study(bare.fitted["naive"]))


@pytest.fixture(scope="module")
def page(full: RunResult) -> Page:
    return read_page(render_report(full))


def change_row(result: RunResult, model: str, **changes: Any) -> RunResult:
    rows = tuple(replace(row, **changes) if row.model == model else row for row in result.leaderboard.rows)
    return replace(result, leaderboard=replace(result.leaderboard, rows=rows))


def test_every_section_is_there_in_order_and_linked(page: Page) -> None:
    assert [known["id"] for tag, known in page.tags if tag == "section"] == SECTIONS
    assert [known["href"] for tag, known in page.tags if tag == "a"] == [f"#{name}" for name in SECTIONS]


def test_what_a_preset_tried_stands_in_the_place_of_the_tuning(bare: RunResult) -> None:
    attempts = (
        Attempt("naive", "a floor", "a", 2.0, 0.1, 0.1, 1.0, floor=True),
        Attempt("lstm", NASTY, "b", None, 3.0, 2.0, 4.0, error="it can't"),
        Attempt("dlinear", "lookback 96", "c", 0.5, 7.0, 6.0, 11.0, options={"view.lookback": 96}),
        Attempt("nlinear", "as usual", "d", 0.7, 1.0, 1.0, 12.0, note="cut"),
    )
    passed = {"tft": "a fit takes about 90 s, and 3 s were left"}
    told = Search("standard", "mase", 3, 600.0, attempts, passed, "the budget of 600 s is spent", resumed=2)
    whole = render_report(replace(bare, search=told))
    found = read_page(whole)
    sections = ["data", "split", "leaderboard", "forecasts", "errors", "search", "bundle", "notes", "reproduce"]
    assert [known["id"] for tag, known in found.tags if tag == "section"] == sections
    for words in (
        "4 tries on 3 walk-forward folds",
        "stopped because the budget of 600 s is spent",
        "went on after 2 steps",
    ):
        assert words in found.text
    assert "view.lookback 96" in found.text
    assert "tft: a fit takes about 90 s" in found.text
    assert "<script>alert" not in whole
    dots, line = draw_search(told).data[1], draw_search(told).data[2]
    assert list(dots.y) == [0.5, 0.7]
    assert (list(line.x), list(line.y)) == ([11.0, 12.0], [0.5, 0.5])  # naive is far above


def test_nothing_is_fetched_from_anywhere(page: Page) -> None:
    for tag, known in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = known.get(name, "#")
            assert value.startswith("#") or value == "data:,", f"<{tag} {name}={value}>"
    policy = next(known["content"] for tag, known in page.tags if known.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_every_picture_has_its_data_and_words_for_those_who_cannot_see_it(page: Page) -> None:
    charts = {known["id"].removeprefix("chart-"): known for tag, known in page.tags if known.get("class") == "chart"}
    assert set(charts) == set(page.figures)
    assert all(known["role"] == "img" and len(known["aria-label"]) > 20 for known in charts.values())
    assert sum(tag == "figcaption" for tag, _ in page.tags) == len(charts)


def test_no_picture_needs_webgl_or_carries_plotlys_default_template(page: Page) -> None:
    for figure in page.figures.values():
        assert not any(trace["type"].endswith("gl") for trace in figure["data"])
        assert len(str(figure["layout"].get("template"))) < 100


def test_the_header_gives_the_answer(page: Page, full: RunResult) -> None:
    assert full.leaderboard.beat_floor
    assert "ridge beat the best floor" in page.text
    assert full.leaderboard.reason in page.text
    score = full.leaderboard.row("ridge").test["mase"]
    assert write_number(score) in page.text.split("The data")[0]


def test_the_leaderboard_shows_the_results_numbers(page: Page, full: RunResult) -> None:
    board = full.leaderboard
    for row in board.rows:
        shown = page.row(row.model)
        assert float(shown[2]) == pytest.approx(row.validation["mase"], abs=6e-4)
        assert row.interval is not None
        score, low, high = (float(x) for x in re.fullmatch(r"([\d.]+?\.\d{3})([\d.]+) to ([\d.]+)", shown[3]).groups())  # type: ignore[union-attr]
        assert [score, low, high] == pytest.approx([row.test["mase"], row.interval.low, row.interval.high], abs=6e-4)
        assert shown[4] == write_percent(row.skill, signed=True)
        assert float(shown[6]) == pytest.approx(row.seconds)
    assert "winner" in page.row("ridge")[0]
    assert "best floor" in page.row(board.best_floor)[0]
    test = board.row("ridge").comparison
    assert page.row("ridge")[5].endswith(f"over {test.n} {test.basis}")


def test_a_model_that_failed_is_named_with_its_reason(page: Page) -> None:
    assert page.row("lstm") == ["lstm", "the loss was never finite <b>at all</b>"]


def test_the_bundle_is_named_relative_to_the_run_with_its_digest_parity_and_latency(
    page: Page, full: RunResult
) -> None:
    told = page.sections["bundle"]
    assert str(full.folder) not in page.text.replace(full.next_command, "")
    for text in (
        full.serving.digest,
        "2.5e-7",
        "allowed 1e-5",
        "within tolerance",
        "0.0123",
        "0.0234",
        "0.0456",
        "0.246",
    ):
        assert text in told


def test_a_parity_beyond_its_tolerance_is_called_that(full: RunResult) -> None:
    page = read_page(render_report(replace(full, serving=replace(full.serving, parity=3e-3))))
    assert "beyond tolerance" in page.sections["bundle"]


def test_the_decision_shows_the_net_figures_and_what_they_rest_on(page: Page, full: RunResult) -> None:
    assert full.decision is not None
    equal, hrp = full.decision.strategies
    assert page.row("CAGR")[2:] == [write_percent(s.summary["cagr"], decimals=2) for s in (equal, hrp)]
    assert page.row("Sharpe")[2:] == [f"{s.summary['sharpe']:.2f}" for s in (equal, hrp)]
    assert equal.deflated is not None
    assert page.row("Deflated Sharpe")[2].startswith(write_percent(equal.deflated.probability))
    told = page.sections["decision"]
    for text in (full.decision.reason, "252 bars a year", "1 bps", "2 bps", "12 trials", "close of the next bar"):
        assert text in told


def test_the_decision_says_by_how_much_it_is_better_than_its_floor_and_what_the_next_bar_may_lose(
    page: Page, full: RunResult
) -> None:
    assert full.decision is not None
    assert full.decision.risk is not None
    told = page.sections["decision"]
    assert "The Sharpe ratio of HRP is" in told
    margins = [text.replace("−", "-") for text in page.row("equal weight")]
    equal, hrp = full.decision.strategies
    assert float(margins[3]) == pytest.approx(hrp.summary["sharpe"] - equal.summary["sharpe"], abs=0.02)
    low, high = (float(part) for part in margins[4].split(" to "))
    assert low < float(margins[3]) < high
    book = full.decision.risk.portfolio
    assert book is not None
    assert write_percent(book.var, decimals=2) in told
    assert write_percent(book.es, decimals=2) in told
    blank = read_page(render_report(replace(full, decision=replace(full.decision, risk=None))))
    assert "Too few bars have a return of every asset" in blank.sections["decision"]


def test_the_tear_sheet_stands_beside_the_report_and_is_linked_from_it(full: RunResult, tmp_path: Path) -> None:
    text = write_report(full, tmp_path / "report.html").read_text()
    assert '<p class="beside"><a href="tear_sheet.html">The tear sheet' in text
    sheet = (tmp_path / "tear_sheet.html").read_text()
    assert "HRP" in sheet
    assert "21 bars from the 252 bars before" in sheet
    assert (tmp_path / "tear_sheet_data" / "margins.parquet").exists()


def test_a_decision_of_few_bars_has_no_tear_sheet_and_says_so(full: RunResult, tmp_path: Path) -> None:
    short = make_decision(rows=85)
    result = replace(full, decision=short)
    assert write_decision_sheet(result, tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    told = [line for block in tell_decision(result, short).blocks if isinstance(block, Words) for line in block.lines]
    assert any("Too few bars were traded" in line for line in told)


def test_notes_and_the_next_command_are_told(page: Page, full: RunResult) -> None:
    assert page.row("fallback") == ["fallback", "threads=8", "threads=2", "the machine has 2 cores & no more"]
    assert full.next_command in page.sections["reproduce"]


def test_a_run_without_a_decision_or_a_search_says_why_it_has_none(bare: RunResult) -> None:
    page = read_page(render_report(bare))
    assert [known["id"] for tag, known in page.tags if tag == "section"] == [s for s in SECTIONS if s != "decision"]
    assert "There was no fitted model with a space to search." in page.sections["tuning"]
    off = bare.settings.model_copy(update={"tune": bare.settings.tune.model_copy(update={"enabled": False})})
    assert "tune.enabled=false" in read_page(render_report(replace(bare, settings=off))).sections["tuning"]


def test_a_run_of_floors_alone_is_rendered(tmp_path: Path) -> None:
    result = make_result(folder=tmp_path, models=())
    page = read_page(render_report(result))
    assert f"{result.leaderboard.winner} is the best floor" in page.text
    assert {row[0] for row in page.rows if row and row[0] in FLOORS} <= set(FLOORS)


def test_a_run_in_which_no_model_beat_its_floor_says_so_first(full: RunResult) -> None:
    board = full.leaderboard
    lost = replace(board, winner=board.best_floor, beat_floor=False, reason="no model beat its floor: so it is.")
    page = read_page(render_report(replace(full, leaderboard=lost)))
    assert "No model beat its floor" in page.text.split("The data")[0]
    assert "No model beat its floor: so it is." in page.text.split("The data")[0]
    assert {trace["name"] for trace in page.figures["steps"]["data"]} == {board.best_floor, "ridge"}


def test_a_p_value_that_is_not_there_is_no_number(full: RunResult) -> None:
    none = Comparison(float("nan"), "none", 2, "2 cutoffs are too few for a test")
    shown = read_page(render_report(change_row(full, "ridge", comparison=none))).row("ridge")[5]
    assert shown == "no test could be made2 cutoffs are too few for a test"


def test_a_missing_interval_and_an_undefined_score_read_as_such(full: RunResult) -> None:
    row = full.leaderboard.row("naive")
    changed = change_row(full, "naive", interval=None, test={**row.test, "mape": float("nan")})
    page = read_page(render_report(changed))
    assert page.row("naive")[3].endswith("no interval: fewer than 3 cutoffs")
    assert "undefined" in [row for row in page.rows if row and row[0] == "naive"][1]
    assert "nan" not in page.text.lower().replace("nanm", "")


def test_a_forecast_of_the_future_that_is_not_there_gives_its_reason(bare: RunResult) -> None:
    why = Note("forecast", "the steps after the table's end", "none", "the column 'price' is unknown there")
    page = read_page(render_report(replace(bare, forecast=None, notes=(why,))))
    assert "the column 'price' is unknown there" in page.sections["forecasts"]
    assert "forecast of the future" not in {trace["name"] for trace in page.figures["forecasts"]["data"]}


def test_names_and_messages_of_users_stay_text(tmp_path: Path) -> None:
    panel = make_panel(
        series=3, names=(NASTY, "a & <b>b</b>", "</script><img src=x onerror=alert(1)>"), target="</style>$<i>"
    )
    result = make_result(panel, folder=tmp_path, next_command=f"tidewright predict {NASTY}")
    result = replace(result, notes=(Note(NASTY, NASTY, NASTY, NASTY),), decision=make_decision())
    page = read_page(render_report(result))
    assert {tag for tag, _ in page.tags} & {"img", "i", "b"} == set()
    assert sum(tag == "script" for tag, _ in page.tags) == len(page.figures) + 2
    assert sum(tag == "style" for tag, _ in page.tags) == 1
    assert page.row(NASTY) == [NASTY] * 4
    titles = [note["text"] for note in page.figures["forecasts"]["layout"]["annotations"]]
    assert any(title.startswith("&lt;script&gt;alert(1)&lt;/script&gt;") for title in titles)
    assert not any("<" in title for title in titles)


def test_the_report_replaces_the_old_one_only_when_it_is_whole(bare: RunResult, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_report(bare, path) == path
    before = path.read_bytes()
    broken = replace(bare, evaluations={})
    with pytest.raises(KeyError):
        write_report(broken, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize("kind", ["steps", "zone", "one series", "one step"])
def test_other_grids_and_shapes_are_rendered(kind: str, tmp_path: Path) -> None:
    rows = 260
    hours = pl.Series(np.datetime64("2024-03-25") + (3_600_000_000 * np.arange(rows)).astype("timedelta64[us]"))
    moments = {
        "steps": pl.Series(range(rows)),
        "zone": hours.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin"),
    }.get(kind, pl.Series(np.datetime64("2024-03-25") + np.arange(rows)))
    values = 10.0 + np.sin(np.arange(rows) / 3.0) + np.random.default_rng(1).normal(size=rows)
    table = pl.DataFrame({"at": moments, "load": values})
    panel = Panel.from_table(table, time="at", target="load")
    result = make_result(panel, folder=tmp_path, horizon=1 if kind == "one step" else 6)
    page = read_page(render_report(result))
    assert "there is nothing to compare" in page.sections["errors"]
    assert page.figures["forecasts"]["data"]


def test_the_interval_of_the_winner_is_named_with_its_level(full: RunResult) -> None:
    changed = change_row(full, "ridge", interval=Interval(low=0.5, high=0.75, level=0.8, draws=100))
    page = read_page(render_report(changed))
    assert "80 % interval 0.5000 to 0.7500".replace(" %", "\xa0%") in page.text
