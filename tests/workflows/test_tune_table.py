"""A search of several models on a table: which it searches, where it is kept, and what its best is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.training.test_fit_classes import weather
from tests.worlds import small_table
from tidewright.cli.tune import name_models
from tidewright.errors import ConfigError, FallbackWarning
from tidewright.models.spec import CLASS_FLOORS
from tidewright.report.study_page import write_search_page
from tidewright.tuning.open_store import is_begun, open_store
from tidewright.workflows.settings import CLASS_MODELS, RunSettings, read_settings
from tidewright.workflows.tune_table import Tuned, TuneWords, lasting, tune_table

TABLE = {"data.series": "shop", "data.time": "hour", "data.target": "sold", "horizon": 4, "track": False}


def settings(folder: Path, *overrides: str, **given: Any) -> RunSettings:
    return read_settings(overrides, {**TABLE, "folder": str(folder), **given})


def search(asked: RunSettings, *, table: Any = None, trials: int = 2, **words: Any) -> Tuned:
    table = small_table(covariates=False) if table is None else table
    return tune_table(asked, TuneWords(trials=trials, **words), table=table)


def test_models_are_named_as_in_a_run_with_their_options(tmp_path: Path) -> None:
    asked = settings(tmp_path, "model=elastic_net")
    found = search(asked, trials=1)
    assert list(found.studies) == ["elastic_net"]
    changed = settings(tmp_path, "model=elastic_net", "models.elastic_net.unit=level")
    usual, other = found.studies["elastic_net"], search(changed, trials=1).studies["elastic_net"]
    assert usual.trials[0].key != other.trials[0].key


def test_models_that_are_named_by_models_have_options_too_and_are_named_once() -> None:
    models, overrides = name_models(("tcn", "drift"), ["models.tcn.dropout=0.3"])
    assert models == ("tcn", "drift")
    assert read_settings(overrides).models["tcn"]["dropout"] == 0.3
    assert name_models((), ["model=tcn"]) == ((), ["model=tcn"])
    with pytest.raises(ConfigError, match=r"--models lstm and model=tcn both name the models. Say one of them"):
        name_models(("lstm",), ["model=tcn"])


def test_models_of_classes_are_searched_by_log_loss_beside_floors_of_classes(tmp_path: Path) -> None:
    given: dict[str, Any] = {"data.series": "place", "data.time": "day", "data.target": "state", "kind": "classify"}
    table = weather(series=3).drop("flag", "wind", "kind")
    asked = settings(tmp_path, **given, horizon=2)
    found = search(asked, table=table, models=("ridge", "svr"), trials=1)
    assert (found.metric, set(found.floors)) == ("log_loss", set(CLASS_FLOORS))
    assert found.studies["ridge"].space.names == ("model.lookbacks", "model.penalties")
    assert found.studies["svr"].space.names == ("model.cost", "model.width")
    assert found.studies[found.winner].fitted.task.classes == ("cloudy", "rainy", "sunny")
    assert found.test["log_loss"] < 1.2
    assert found.interval is not None
    page = write_search_page(found, tmp_path / "report.html").read_text("utf-8")
    assert "last_class" in page
    assert "without a forecast" not in page
    assert name_models((), [], classes=True) == ((), [])
    assert tuple(asked.models) == CLASS_MODELS
    for words, message in (
        ({"models": ("drift",)}, "drift tells no classes apart"),
        ({"models": ("svr",), "metric": "mase"}, "no metric that ranks models of classes is called 'mase'"),
    ):
        with pytest.raises(ConfigError, match=message):
            search(asked, table=table, **words)


def test_a_study_in_a_database_goes_on_only_when_asked_to(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    asked = settings(tmp_path, "model=elastic_net")
    with pytest.raises(ConfigError, match="there is no such search to go on with"):
        search(asked, storage=storage, resume=True)
    first = search(asked, storage=storage)
    with pytest.raises(ConfigError, match=r"elastic_net was begun before and is kept in 'sqlite:.* --resume"):
        search(asked, storage=storage)
    again = search(asked, storage=storage, resume=True, trials=3)
    assert again.studies["elastic_net"].trials[:2] == first.studies["elastic_net"].trials
    other = search(settings(tmp_path, "model=elastic_net", seed=1), storage=storage)  # beside it, in the same file
    assert len(other.studies["elastic_net"].trials) == 2


def test_a_folder_of_ones_own_is_treated_alike(tmp_path: Path) -> None:
    asked, place = settings(tmp_path, "model=elastic_net"), str(tmp_path / "mine")
    search(asked, storage=place)
    with pytest.raises(ConfigError, match="was begun before and is kept in"):
        search(asked, storage=place)
    with pytest.raises(ConfigError, match="its seed is 0, not 1"):
        search(settings(tmp_path, "model=elastic_net", seed=1), storage=place, resume=True)


def test_a_study_without_a_trial_is_not_begun(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'studies.db'}"
    assert not is_begun(address, name="a")
    assert not (tmp_path / "studies.db").exists()
    open_store(address, name="a").close()
    assert not is_begun(address, name="a")


def test_a_seed_reaches_what_networks_begin_with(tmp_path: Path) -> None:
    quick = ("model=dlinear", "train.epochs=1", "train.steps=2")
    found = [search(settings(tmp_path, *quick, seed=seed), trials=1).studies["dlinear"] for seed in (1, 2)]
    assert [study.train.seed for study in found] == [1, 2]
    assert found[0].best.value != found[1].best.value


def test_a_floor_that_is_searched_too_stands_beside_itself(tmp_path: Path) -> None:
    found = search(settings(tmp_path), models=("median", "drift"), trials=6)
    assert found.winner in found.floors
    rows = {row["model"]: row["test"] for row in found.rows()}
    assert rows[found.winner] == found.test["mase"]
    alone = search(settings(tmp_path / "other"), models=("elastic_net",), trials=1)
    assert alone.floors == found.floors


def returns_table() -> pl.DataFrame:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 12, 31), eager=True)
    rng = np.random.default_rng(0)
    parts = [
        pl.DataFrame({"shop": name, "hour": days, "sold": rng.normal(0.001, 0.01, len(days))}) for name in ("a", "b")
    ]
    return pl.concat(parts)


def test_a_sharpe_ratio_is_told_of_the_test_beside_nothing_and_all_held(tmp_path: Path) -> None:
    table = returns_table()
    found = search(settings(tmp_path, metric="mae"), table=table, models=("elastic_net",), metric="sharpe")
    assert found.rows()[0]["test"] == found.test["sharpe"]
    assert {"flat", "buy and hold"} < set(found.floors)
    assert found.floors["flat"].test == {"sharpe": 0.0}
    scores = [floor.validation for floor in found.floors.values()]
    assert scores == sorted(scores, reverse=True)
    study = found.studies["elastic_net"]
    assert found.rows()[0]["sharpe"] == pytest.approx(study.score)
    assert np.isfinite(found.floors["buy and hold"].test["sharpe"])


def test_trials_of_a_network_are_made_together_as_it_is_asked_for_and_computed(tmp_path: Path) -> None:
    fast = ("model=dlinear", "train.epochs=1", "train.steps=2")
    told = [search(settings(tmp_path / str(n), *fast), together=n).studies["dlinear"] for n in (1, 2)]
    assert [{note for trial in study.trials for note in trial.notes} for study in told] == [
        set(),
        {"made in one step of 2 trials"},
    ]
    with pytest.warns(FallbackWarning, match="together=2: trials were made one by one: a batched step is in float32"):
        search(settings(tmp_path / "reduced", *fast, "precision=bfloat16"), together=2)
    assert _key(tmp_path, together=1) == _key(tmp_path, together=2)  # another number may go on with it


def _key(folder: Path, **words: Any) -> Any:
    return lasting(TuneWords(**words), settings(folder, "model=dlinear"))


def test_a_space_of_one_model_is_no_other_ones_and_that_is_said_before_anything_is_learned(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "model: elastic_net\nparameters:\n  model.l1_share: {type: choice, choices: [0.0, 0.5]}\n"
    )
    with pytest.raises(ConfigError, match=r"a space of elastic_net, and ridge is searched too"):
        search(settings(tmp_path), models=("elastic_net", "ridge"), space=str(tmp_path / "mine.yaml"))
    with pytest.raises(ConfigError, match=r"there is no 'nowhere.yaml'"):
        search(settings(tmp_path), models=("elastic_net",), space="nowhere.yaml")
