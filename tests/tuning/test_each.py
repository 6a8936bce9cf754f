"""A study for each series, and whether its model is better than the one of all series by more than chance."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.models.specs.floors import Damped
from tidewright.training.each import EachFitted
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit
from tidewright.training.forecast import forecast
from tidewright.tuning.each import search_each
from tidewright.tuning.kept import list_studies
from tidewright.tuning.repeats import is_repeat
from tidewright.tuning.space import Choice, SearchSpace
from tidewright.tuning.trial import TrialState
from tidewright.workflows.tune_each import tune_each

TASK = Task(horizon=2)
DAMPED = SearchSpace("damped", {"model.damping": Choice((0.0, 1.0)), "model.recent": Choice((2, 3))})
DAYS = 300


def make_series(*, grows: bool, seed: int) -> np.ndarray:
    """Weekly seasons, whose level grows from week to week, or is drawn anew each day."""
    draw = np.random.default_rng(seed)
    day = np.arange(DAYS)
    level = 1.0 + 0.05 * day / 7 if grows else np.exp(0.2 * draw.standard_normal(DAYS))
    return (50 + 10 * np.sin(2 * np.pi * day / 7)) * level * np.exp(0.01 * draw.standard_normal(DAYS))


@pytest.fixture(scope="module", name="given")
def _given() -> dict[str, Any]:
    return make_given()


def make_given() -> dict[str, Any]:
    """Four shops: three whose levels are drawn, one that grows."""
    days = pl.date_range(date(2024, 1, 1), date(2024, 1, 1) + timedelta(days=DAYS - 1), eager=True)
    parts = [
        pl.DataFrame({"shop": [shop] * DAYS, "day": days, "sold": make_series(grows=shop == "grown", seed=seed)})
        for seed, shop in enumerate(("drawn", "grown", "other", "third"))
    ]
    panel = Panel.from_table(pl.concat(parts), series="shop", time="day", target="sold")
    split = split_holdout(panel, TASK, validation=80, test=60)
    return {"panel": panel, "split": split, "task": TASK, "model": Damped(damping=0.0, recent=2, period=7)}


def search(given: dict[str, Any], **more: Any) -> Any:
    return search_each(DAMPED, **{"trials": 5, "shared_trials": 5, "ledger": False, **given, **more})


def test_a_series_that_is_otherwise_than_most_keeps_its_own_and_the_others_the_shared_one(given: Any) -> None:
    found = search(given)
    assert found.kept == ("grown",)
    assert found.shared is not None
    assert found.shared.spec.damping < found.studies["grown"].spec.damping
    one = found.compared["grown"]
    assert one.own < one.shared
    assert (one.p_value < 0.05, one.tried, one.reason) == (True, 4, "")
    assert all(not found.compared[shop].kept and found.compared[shop].reason for shop in ("drawn", "other", "third"))
    assert f"{len(found.kept)} of 4 series keep a model of their own" in str(found)
    assert found.to_dict()["kept"] == ["grown"]


def test_a_repeat_from_another_seed_is_no_beginning_of_a_series_study(given: Any) -> None:
    found = search(given, seeds="auto", shared_trials=9, trials=1)
    assert any(is_repeat(trial) for trial in found.shared.trials)
    assert len(found.studies) == 4


def test_each_study_begins_with_the_best_of_the_shared_one(given: Any) -> None:
    found = search(given, trials=3)
    ranked = sorted(found.shared.trials, key=lambda trial: trial.value)
    for study in found.studies.values():
        assert [trial.parameters for trial in study.trials] == [trial.parameters for trial in ranked[:3]]


def test_what_it_says_is_what_the_model_of_each_series_says(given: Any) -> None:
    panel, split = given["panel"], given["split"]
    found = search(given)
    fitted = found.fitted
    said = fitted.forecast(panel).table
    for shop in panel.series_ids:
        own = found.studies["grown"].fitted if shop == "grown" else found.shared.fitted
        assert fitted.model_of(shop) is own
        assert said.filter(pl.col("shop") == shop).equals(forecast(own, panel.select([shop])).table)
    assert said["shop"].unique(maintain_order=True).to_list() == list(panel.series_ids)
    judged = fitted.evaluate(panel=panel, split=split, cutoffs=split.test)
    parts = [
        evaluate(fitted.model_of(shop), panel=panel.select([shop]), split=split, cutoffs=split.test)
        for shop in panel.series_ids
    ]
    assert np.array_equal(judged.forecast, np.concatenate([part.forecast for part in parts]))
    assert judged.scores["mae"] == pytest.approx(np.mean([part.scores["mae"] for part in parts]))
    assert judged.windows.series.max() == 3
    assert fitted.model_of("new") is found.shared.fitted


def test_the_outcome_is_scored_once_on_the_test_beside_the_shared_model_and_the_floors(given: Any) -> None:
    rest = {name: one for name, one in given.items() if name != "panel"}
    found = tune_each(given["panel"], space=DAMPED, trials=5, shared_trials=5, ledger=False, **rest)
    assert {"each", "shared", "naive", "seasonal"} <= set(found.test)
    assert found.test["each"]["mase"] < found.test["shared"]["mase"]
    assert "mase on the test:" in str(found)
    assert found.to_dict()["test"]["each"] == found.test["each"]


def test_each_alone_keeps_all_and_knows_no_other_series(given: Any) -> None:
    found = search(given, shared=False, metric="mae")
    assert found.kept == given["panel"].series_ids
    assert (found.shared, found.compared) == (None, {})
    assert {study.trials[0].parameters["model.damping"] for study in found.studies.values()} == {0.0}
    with pytest.raises(ConfigError, match="'new' has no model, and there is none for all series"):
        found.fitted.model_of("new")


def test_the_test_part_is_never_read(given: Any) -> None:
    seen: list[Any] = []

    def learn(spec: Any, **asked: Any) -> Any:
        seen.append((asked["panel"].positions.max(), asked["split"].test))
        return fit(spec, **asked)

    search(given, learn=learn, trials=1, shared_trials=1)
    last = int(given["split"].validation.positions[-1]) + TASK.horizon
    assert set(seen) == {(last, None)}


def test_the_same_call_goes_on_with_all_studies(given: Any, tmp_path: Path) -> None:
    asked = {"storage": tmp_path, "trials": 2, "shared_trials": 2}
    one, two = search(given, **asked), search(given, **asked)
    assert two.shared.trials == one.shared.trials
    assert {shop: study.trials for shop, study in two.studies.items()} == {
        shop: study.trials for shop, study in one.studies.items()
    }
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"all", "drawn", "grown", "other", "third"}


def test_studies_in_a_database_are_told_apart_and_go_on(given: Any, tmp_path: Path) -> None:
    go_on_in(f"sqlite:///{tmp_path / 'studies.db'}", given)


def go_on_in(storage: str, given: Any) -> None:
    """Two searches of one panel in a database, under two names, one of which goes on."""
    given = {**given, "panel": given["panel"].select(["drawn", "grown"])}
    asked = {"storage": storage, "trials": 1, "shared_trials": 2, "name": "mine-"}
    one, other = search(given, **asked), search(given, **{**asked, "name": "other-", "seed": 1})
    more = search(given, **{**asked, "trials": 2})
    assert [len(found.trials) for found in more.studies.values()] == [2] * 2
    for shop, found in one.studies.items():
        assert more.studies[shop].trials[:1] == found.trials
    assert other.shared.seed == 1
    assert len(list_studies(storage)) == 6


def test_a_budget_is_shared(given: Any, clock: Any) -> None:
    def learn(spec: Any, **asked: Any) -> Any:
        clock.now += 10.0
        return fit(spec, **asked)

    asked = {"budget_s": 180.0, "trials": None, "shared_trials": None, "learn": learn, "clock": clock}
    found = search(given, **asked, searcher="random")
    assert (found.shared.seconds, found.seconds) == (40.0, 180.0)  # four points are all there are
    assert [len(study.trials) for study in found.studies.values()] == [3, 3, 4, 4]


def test_a_series_that_can_t_be_learned_is_answered_by_the_shared_model(given: Any) -> None:
    def learn(spec: Any, **asked: Any) -> Any:
        if asked["panel"].series_ids == ("drawn",):
            raise ValueError("no room")
        return fit(spec, **asked)

    found = search(given, learn=learn)
    assert "no room" in found.failed["drawn"]
    assert found.fitted.model_of("drawn") is found.shared.fitted
    assert "drawn has none" in str(found)
    assert all(trial.state is TrialState.COMPLETE for trial in found.shared.trials)


def test_what_can_t_be_compared_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="sharpe is none"):
        search(given, metric="sharpe")
    with pytest.raises(ConfigError, match="neither a model of a series nor one for all"):
        EachFitted({})

    def learn(spec: Any, **asked: Any) -> Any:
        raise ValueError("no room")

    with pytest.raises(FitError, match="no series could be learned"):
        search(given, learn=learn, shared=False, trials=1)
