"""The page on searches, as Streamlit's own test driver sees it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tidewright.dashboard import open_app, tables
from tidewright.errors import ConfigError
from tidewright.tuning.kept import Address, list_studies, read_kept
from tidewright.tuning.open_store import open_store
from tidewright.tuning.repeats import REPEAT
from tidewright.tuning.trial import Trial, TrialState

PAGE = Path(open_app.__file__).with_name("app.py")
POINTS = [{"model.hidden": 8}, {"model.hidden": 16}, {"model.hidden": 32}, {"model.hidden": (4, 8)}]
ENDS = [
    Trial(0, TrialState.COMPLETE, (0.8,), seconds=2.0),
    Trial(1, TrialState.COMPLETE, (0.5,), seconds=3.0, expected_s=2.0),
    Trial(2, TrialState.PRUNED, error="its best value 0.9 up to step 2 is above 0.6, the median of 7 trials"),
]


def make_study(where: Any, *, name: str = "lstm", metric: str = "mase") -> None:
    """Four trials: two complete, one pruned, one that runs."""
    store = open_store(where, name=name)
    store.identify({"metric": metric, "model": name, "seed": "42"})
    for number, point in enumerate(POINTS):
        store.claim(lambda trials, point=point: point)
        store.report(number, step=1, value=0.9)
        store.report(number, step=2, value=0.7)
        if number < len(ENDS):
            store.finish(replace(ENDS[number], parameters=point), spent=float(number + 1))
    store.close()


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Runs the page of a place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from streamlit.testing.v1 import AppTest

    def run(where: Any) -> Any:
        monkeypatch.setenv(open_app.PLACE, str(where))
        monkeypatch.setenv(open_app.SECONDS, "0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return AppTest.from_file(str(PAGE), default_timeout=60).run()

    return run


def test_the_page_has_the_best_so_far_the_counts_the_reasons_and_what_runs(tmp_path: Path, show: Any) -> None:
    make_study(tmp_path / "studies" / "abc" / "lstm")
    page = show(tmp_path)
    assert not page.exception
    assert {one.label: one.value for one in page.metric} == {
        "best mase": "0.5", "trials": "4",
        "running": "1", "complete": "2", "pruned": "1", "failed": "0", "seconds": "3",
    }  # fmt: skip
    assert [one.value for one in page.title if one.value != "Tidewright"] == ["lstm"]
    assert "Trial 1 is the best: model.hidden = 16" in [one.value for one in page.markdown]
    frames = [frame.value for frame in page.dataframe]
    assert frames[0].to_dict("records") == [{"trial": 3, "step": 2, "last": 0.7, "model.hidden": "[4, 8]"}]
    assert frames[1].reason.tolist() == ["its best value # up to step # is above # the median of # trials"]
    assert frames[2].trial.tolist() == [3, 2, 1, 0]
    assert frames[2].told.tolist()[2] == 2.0
    heads = [one.value for one in page.subheader]
    assert heads == [
        "running", "mase by trial", "what the last 4 trials reported, step by step", "why trials ended early", "trials",
    ]  # fmt: skip


def test_one_of_several_studies_is_chosen_and_a_metric_keeps_its_direction(tmp_path: Path, show: Any) -> None:
    make_study(tmp_path / "a", name="lstm", metric="sharpe")
    make_study(f"sqlite:///{tmp_path}/b.db", name="tcn")
    page = show(tmp_path)
    assert page.selectbox[0].options == ["lstm in a"]
    assert page.metric[0].label == "best sharpe"
    assert page.metric[0].value == "-0.5"
    page = show(f"sqlite:///{tmp_path}/b.db")
    assert page.selectbox[0].options == [f"tcn in sqlite:///{tmp_path}/b.db"]
    assert page.metric[0].value == "0.5"


def test_a_place_with_nothing_says_what_to_do(tmp_path: Path, show: Any) -> None:
    assert "is not there. Give a folder" in show(tmp_path / "no").error[0].value
    assert "tidewright tune" in show(tmp_path).info[0].value
    for where, said in (
        (tmp_path / "no", "is not there"),
        (f"sqlite:///{tmp_path}/no.db", "there is no file"),
        ("mysql://x", "sqlite:///FILE or postgresql://"),
        (tmp_path, "has no run and no study"),
    ):
        with pytest.raises(ConfigError, match=said):
            open_app.open_app(str(where), port=8501, refresh_s=0.0)
    (tmp_path / "text.db").write_text("this is no database at all, but a long enough text" * 40)
    with pytest.raises(ConfigError, match="can't be read"):
        list_studies(f"sqlite:///{tmp_path}/text.db")
    make_study(tmp_path / "a")
    with pytest.raises(ConfigError, match="any more"):
        read_kept(Address(str(tmp_path / "a"), "tcn"))


def test_looking_changes_nothing(tmp_path: Path) -> None:
    make_study(tmp_path / "a")
    log = (tmp_path / "a" / "journal.log").read_bytes()
    before = sorted(tmp_path.rglob("*"))
    (address,) = list_studies(tmp_path)
    kept = read_kept(address)
    assert [str(trial.state) for trial in kept.trials] == ["complete", "complete", "pruned", "running"]
    assert (tmp_path / "a" / "journal.log").read_bytes() == log
    assert sorted(tmp_path.rglob("*")) == before


def test_the_history_never_rises(tmp_path: Path) -> None:
    make_study(tmp_path / "a")
    rows = tables.list_history(read_kept(list_studies(tmp_path)[0]))
    assert rows == [{"trial": 0, "score": 0.8, "best so far": 0.8}, {"trial": 1, "score": 0.5, "best so far": 0.5}]


def test_a_trial_made_again_from_another_seed_is_not_the_best(tmp_path: Path, show: Any) -> None:
    store = open_store(tmp_path / "a", name="lstm")
    for number, (value, point) in enumerate(((0.8, POINTS[0]), (0.5, {**POINTS[0], REPEAT: 1}))):
        store.claim(lambda trials, point=point: point)
        store.finish(Trial(number, TrialState.COMPLETE, (value,), parameters=point), spent=1.0)
    store.close()
    assert "Trial 0 is the best: model.hidden = 8" in [one.value for one in show(tmp_path).markdown]
    rows = tables.list_history(read_kept(list_studies(tmp_path)[0]))
    assert rows == [{"trial": 0, "score": 0.8, "best so far": 0.8}]


def test_where_seeds_decided_the_page_has_the_score_that_the_search_tells(tmp_path: Path, show: Any) -> None:
    store = open_store(tmp_path / "a", name="lstm")
    values = {(0, 0): 0.5, (1, 0): 0.51, (0, 1): 0.9, (1, 1): 0.6, (0, 2): 1.0, (1, 2): 0.8}
    for number, ((place, seed), value) in enumerate(values.items()):
        point = {**POINTS[place], **({REPEAT: seed} if seed else {})}
        store.claim(lambda trials, point=point: point)
        store.finish(Trial(number, TrialState.COMPLETE, (value,), parameters=point), spent=1.0)
    store.close()
    page = show(tmp_path)
    assert "Trial 1 is the best: model.hidden = 16" in [one.value for one in page.markdown]
    assert "0.7" in [one.value for one in page.metric]  # the mean of 0.6 and 0.8


def test_the_server_takes_the_place_of_the_command_and_is_told_where_by_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path / "a")
    taken: list[Any] = []
    monkeypatch.setattr(open_app.os, "execve", lambda *words: taken.extend(words))
    open_app.open_app(str(tmp_path), port=8765, refresh_s=3.0)
    _, command, environment = taken
    assert "--server.port=8765" in command
    assert "--server.address=localhost" in command
    assert (environment[open_app.PLACE], environment[open_app.SECONDS]) == (str(tmp_path), "3.0")
    assert str(tmp_path) not in command  # an address may have a password
