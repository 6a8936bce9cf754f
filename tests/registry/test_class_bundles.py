"""Bundles of classifiers: one graph, parity, classes by their names, and no library that trains."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.training.test_fit_classes import QUICK, TASK, learned, panel, read, seen_by, split, weather
from tidewright.data.splits import Cutoffs
from tidewright.errors import BundleError, ColumnError, ConfigError, DataError
from tidewright.features.windows import cut_windows
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.models.calibrated import Calibrated, Scaling
from tidewright.models.spec import CLASS_FLOORS
from tidewright.models.specs.tabular import CLASSIFIERS
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.manifest import from_plain, to_plain
from tidewright.registry.rebuild import rebuild
from tidewright.training.change import Vintage, explain_change
from tidewright.training.conformal import conformalise
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.explain_trees import explain_trees
from tidewright.training.fit import fit
from tidewright.training.forecast import forecast
from tidewright.training.importance import permutation_importance
from tidewright.training.update import update
from tidewright.tuning.read_space import find_space
from tidewright.tuning.tune import tune
from tidewright.workflows.judge import judge

OTHERS: dict[str, dict[str, Any]] = {
    "lightgbm direct": {**QUICK["lightgbm"], "strategy": "direct"},
    "xgboost native": {**QUICK["xgboost"], "categories": "native"},
}


def make(name: str) -> Calibrated:
    if name not in OTHERS:
        return learned(name)
    made = fit(build_spec(name.split(maxsplit=1)[0], OTHERS[name]), panel=panel(), split=split(), task=TASK)
    assert isinstance(made, Calibrated)
    return made


@pytest.mark.parametrize("name", [*CLASSIFIERS, *CLASS_FLOORS, *OTHERS])
def test_a_bundle_says_what_its_model_says_in_one_graph_and_opened_again(name: str, tmp_path: Path) -> None:
    model = replace(make(name), scaling=Scaling(1.3, (0.0, 0.2, -0.1)))  # so that its nodes matter
    seen = seen_by(name.split(maxsplit=1)[0])
    bundle = save_bundle(model, panel=seen, folder=tmp_path / "bundle", split=split())
    assert bundle.parity is not None
    assert bundle.parity < 1e-6
    assert bundle.manifest.task.classes == ("cloudy", "rainy", "sunny")
    windows = cut_windows(seen, model.view, horizon=2, cutoffs=split().validation, least=1)
    wanted = model.predict(windows)
    for backend in ("onnxruntime", "eager"):
        session = open_session(tmp_path / "bundle", backend=backend, strict=True)
        batch = windows.batch()
        answer = session.predict({key: getattr(batch, key) for key in session.inputs})
        np.testing.assert_allclose(answer.quantiles, wanted, atol=2e-6)
        assert (answer.point == wanted.argmax(axis=2)).mean() > 0.999
    again = rebuild(bundle.manifest, bundle.tensors())
    assert again.predict(windows).tobytes() == wanted.tobytes()
    assert "the probabilities of cloudy, rainy, sunny" in bundle.card


def test_a_session_forecasts_a_table_of_names_and_gives_names_back(tmp_path: Path) -> None:
    own: dict[str, Any] = {"known": (), "past": (), "static": ()}
    table = weather(names=(30, 10, 20))
    seen = read(table, **own)
    model = fit(build_spec("lightgbm", QUICK["lightgbm"]), panel=seen, split=split(), task=TASK)
    save_bundle(model, panel=seen, folder=tmp_path / "bundle", split=split())
    session = open_session(tmp_path / "bundle")
    told = session.forecast(table.select("place", "day", "state"))
    assert told.table.columns == ["place", "cutoff", "day", "10", "20", "30", "class", "model"]
    assert told.classes == (10, 20, 30)
    np.testing.assert_allclose(
        told.table.select("10", "20", "30").to_numpy(), forecast(model, seen).table.select("10", "20", "30").to_numpy(),
        atol=2e-6,
    )  # fmt: skip
    some = table.filter(pl.col("day") > date(2021, 8, 1)).with_columns(
        pl.when(pl.col("state") == 10).then(None).otherwise(pl.col("state")).alias("state")
    )
    assert session.forecast(some).classes == (10, 20, 30)
    with pytest.raises(ColumnError, match="the class 40 of 'state' was not there in training, which had 10, 20, 30"):
        session.forecast(table.with_columns(pl.lit(40).alias("state")))
    past = session.read(table)
    at = Cutoffs(100, 120, 10, past.frequency)
    assert len(session.forecast(past, cutoffs=at).table) == 5 * 3 * 2


def test_windows_of_numbers_that_are_no_class_are_refused(tmp_path: Path) -> None:
    name = "last_class"
    save_bundle(learned(name), panel=seen_by(name), folder=tmp_path / "bundle", split=split())
    session = open_session(tmp_path / "bundle")
    past = np.zeros((1, learned(name).view.lookback), np.float32)
    assert session.predict(past).quantiles.sum(axis=2) == pytest.approx(1.0, abs=1e-6)
    for wrong in (3.0, -1.0, 0.5):
        past[0, -1] = wrong
        with pytest.raises(DataError, match=rf"'target' holds {wrong:g}; classes are counted from 0 to 2"):
            session.predict(past)


def test_a_bundle_opens_where_no_library_that_trains_is_installed(tmp_path: Path) -> None:
    save_bundle(learned("catboost"), panel=panel(), folder=tmp_path / "bundle", split=split())
    weather().filter(pl.col("day") > date(2021, 7, 1)).write_csv(tmp_path / "table.csv")
    script = (
        "import sys; sys.modules |= dict.fromkeys(['lightgbm', 'xgboost', 'catboost', 'sklearn', 'torch'])\n"
        "import tidewright as tw\n"
        f"session = tw.open(r'{tmp_path / 'bundle'}')\n"
        f"panel = session.read(r'{tmp_path / 'table.csv'}')\n"
        "at = tw.split_holdout(panel, session.task, validation=4, test=4).test\n"
        "print(session.forecast(panel, cutoffs=at).table['class'].unique().sort().to_list())\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.replace("'", '"'))) <= {"cloudy", "rainy", "sunny"}


def test_a_manifest_whose_classes_contradict_each_other_is_refused(tmp_path: Path) -> None:
    bundle = save_bundle(learned("lightgbm"), panel=panel(), folder=tmp_path / "bundle", split=split())
    plain = json.loads(json.dumps(to_plain(bundle.manifest)))
    assert from_plain(plain).task == bundle.manifest.task
    plain["task"]["classes"] = ["a", "b", "c"]
    with pytest.raises(BundleError, match=r"'task\.classes' holds a number or a name that can't be"):
        from_plain(plain)
    tensors = bundle.tensors()
    with pytest.raises(BundleError, match=r"'calibration' should be finite float64 of the shape \(4,\)"):
        rebuild(bundle.manifest, {**tensors, "calibration": tensors["calibration"][:3]})
    assert load_bundle(tmp_path / "bundle").digest == bundle.digest


def test_a_bundle_is_judged_beside_the_floors_of_classes(tmp_path: Path) -> None:
    save_bundle(learned("lightgbm"), panel=panel(), folder=tmp_path / "bundle", split=split())
    found = judge(tmp_path / "bundle", panel(), last=20)
    assert set(found.scores) == {"lightgbm", *CLASS_FLOORS}
    assert found.scores["lightgbm"]["log_loss"] < min(found.scores[name]["log_loss"] for name in CLASS_FLOORS)


def test_what_else_takes_a_model_takes_a_classifier_or_says_why_not() -> None:
    model, data = learned("lightgbm"), {"panel": panel(), "split": split()}
    found = permutation_importance(model, **data, metric="log_loss", features=["state", "flag", "wind"], repeats=2)
    value = dict(zip((one.name for one in found.features), found.values.mean(axis=1), strict=True))
    assert min(value["state"], value["flag"]) > 0.02 > abs(value["wind"])
    newer = update(model, **data)
    assert newer.history[0]["updated"] == "learned anew, with the choices that it had made"
    assert newer.task.classes == model.task.classes
    asks: dict[str, Any] = {
        "a conformal interval": lambda: conformalise(model, **data),
        "an ensemble": lambda: fit_ensemble([model, model], **data),
        "a Shapley value": lambda: explain_trees(model, **data),
        "an account of a change": lambda: explain_change(Vintage(model, panel()), Vintage(model, panel())),
    }
    for what, ask in asks.items():
        with pytest.raises(ConfigError, match=f"{what} is of forecasts of numbers, and this task is of classes"):
            ask()


def test_classifiers_are_tuned_by_a_loss_of_classes(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"panel": panel(), "split": split(), "task": TASK, "ledger": False}
    spec = build_spec("lightgbm", {"rounds": 3})
    study = tune(find_space("lightgbm"), model=spec, trials=3, metric="log_loss", **asked)
    assert len(study.trials) == 3
    assert study.fitted.task.classes == ("cloudy", "rainy", "sunny")
    with pytest.raises(
        ConfigError, match=r"mase is of numbers, and this task is not\. Ask for a metric such as log_loss"
    ):
        tune(find_space("lightgbm"), model=spec, trials=3, metric="mase", **asked)
