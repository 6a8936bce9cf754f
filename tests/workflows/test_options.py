"""Every option of a run is live: another value of it gives another result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds import small_table
from tidewright.errors import BackendError, ConfigError, FallbackWarning
from tidewright.tracking.listener import open_listener
from tidewright.training.fit import fit
from tidewright.workflows.result import RunResult
from tidewright.workflows.run import run
from tidewright.workflows.settings import MixSettings, RunSettings, SplitSettings, TuneSettings

TABLE = small_table(series=3, rows=150)
BASE = ("model=lightgbm", "models.lightgbm.rounds=4", "horizon=3", "tune.enabled=false", "track=false")
TUNED = ("tune.enabled=true", "tune.trials=2", "models.lightgbm.rounds=4")
ANOTHER = {
    "horizon": "4",
    "quantiles": "[0.2,0.5,0.8]",
    "season": "6",
    "lookback": "20",
    "holidays": "US",
    "metric": "rmse",
    "seed": "1",
    "split.validation": "30",
    "split.test": "30",
    "split.purge": "9",
    "split.embargo": "2",
    "split.stride": "3",
    "train": "train.least_gain=0.9",
    "models": "models.lightgbm.leaves=3",
    "tune.enabled": "true",
    "tune.trials": "3",
    "ensemble": "mean",
    "mix.per_step": "true",
    "mix.seeds": "2",
    "mix.snapshots": "2",
}
NETWORK = ("model=dlinear,lightgbm", "train.epochs=2", "train.steps=2")
NEEDS = {
    "tune.trials": TUNED,
    "tune.enabled": ("tune.trials=2",),
    "mix.per_step": ("ensemble=inverse", "horizon=8"),
    "mix.seeds": NETWORK,
    "mix.snapshots": NETWORK,
}  # what must be chosen for an option to be heeded
ELSEWHERE = {
    "recipe",
    "preset",
    "data",
    "budget_s",
    "strict",
    "track",
    "folder",
    "decide",
    "device",
    "threads",
    "precision",
    "compile",
    "devices",
    "strategy",
    "relative",
    "log",
    "hierarchy",  # test_cohere.py: levels, method, nonnegative
    "kind",  # test_run_classes.py
}  # tests below, and their own files


def do(folder: Path, *overrides: str, **options: Any) -> RunResult:
    """A run of a few seconds; later overrides win over the base."""
    chosen = {item.partition("=")[0]: item for item in (*BASE, f"folder={folder}", *overrides)}
    return run(
        TABLE,
        overrides=list(chosen.values()),
        series="shop",
        time="hour",
        target="sold",
        known=("price",),
        **options,
    )


def outcome(result: RunResult) -> tuple[Any, ...]:
    """What a run found, without its settings and its times."""
    rows = [
        (row.model, sorted(row.validation.items()), sorted(row.test.items()), row.interval)
        for row in result.leaderboard.rows
    ]
    assert result.study is not None or "tuned" not in str(rows)
    trials = () if result.study is None else tuple(str(sorted(t.parameters.items())) for t in result.study.trials)
    numbers = {name: fitted.tensors()["spread"].tobytes() for name, fitted in result.fitted.items() if name == "naive"}
    return (result.leaderboard.metric, repr(rows), trials, numbers)


def test_every_option_of_a_run_is_tested() -> None:
    parts: dict[str, Any] = {"split": SplitSettings, "tune": TuneSettings, "mix": MixSettings}
    names = set()
    for name in RunSettings.model_fields:
        names |= {f"{name}.{field}" for field in parts[name].model_fields} if name in parts else {name}
    assert names == set(ANOTHER) | ELSEWHERE


@pytest.mark.parametrize("name", ANOTHER)
def test_another_value_of_an_option_gives_another_result(name: str, tmp_path: Path) -> None:
    change = ANOTHER[name] if "=" in ANOTHER[name] else f"{name}={ANOTHER[name]}"
    base = NEEDS.get(name, ())
    ours, theirs = do(tmp_path, *base), do(tmp_path, *base, change)
    assert outcome(ours) != outcome(theirs)


def test_covariates_in_units_of_the_window_give_another_result(tmp_path: Path) -> None:
    few, more = do(tmp_path, past=("visits",)), do(tmp_path, "relative=true", past=("visits",))
    assert more.fitted["lightgbm"].view.relative
    assert outcome(few) != outcome(more)


def test_models_of_logarithms_give_another_result(tmp_path: Path) -> None:
    plain, logs = do(tmp_path), do(tmp_path, "log=1")
    assert logs.fitted["lightgbm"].view.log == 1.0
    assert outcome(plain) != outcome(logs)


@pytest.mark.parametrize("rule", ["median", "inverse", "stacking"])
def test_every_rule_gives_its_own_ensemble(rule: str, tmp_path: Path) -> None:
    result = do(tmp_path, f"ensemble={rule}")
    row, fitted = result.leaderboard.row("ensemble"), result.fitted["ensemble"]
    assert fitted.history[0]["rule"] == rule
    assert row.note.startswith("the median of naive, ") == (rule == "median")
    assert outcome(result) != outcome(do(tmp_path))


def test_a_network_of_several_seeds_or_snapshots_joins_the_ensemble_with_all_of_them(tmp_path: Path) -> None:
    for word in ("seeds", "snapshots"):
        result = do(tmp_path, *NETWORK, f"mix.{word}=2", "ensemble=mean")
        assert len(result.fitted["dlinear"].spec.members) == 2
        assert [part.model for part in result.fitted["ensemble"].spec.members].count("dlinear") == 2
    tuned = do(tmp_path, *NETWORK, "mix.seeds=2", "tune.enabled=true", "tune.trials=2", "metric=mae")
    assert tuned.study is not None  # of the spec, not of its ensemble


def test_the_same_options_give_the_same_result(tmp_path: Path) -> None:
    assert outcome(do(tmp_path, *TUNED)) == outcome(do(tmp_path, *TUNED))


def test_a_larger_budget_gives_a_model_a_later_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[float] = []

    def learn(spec: Any, *, deadline: float | None, **options: Any) -> Any:
        if deadline is not None:
            left.append(deadline - time.monotonic())
        return fit(spec, deadline=deadline, **options)

    monkeypatch.setattr("tidewright.workflows.field.fit", learn)
    for budget in (100, 1000):
        do(tmp_path, f"budget_s={budget}")
    assert len(left) == 2
    assert left[0] < 100 < left[1] < 1000


def test_devices_and_strategy_are_asked_for_as_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, str]] = []

    def learn(spec: Any, *, devices: int, strategy: str, **options: Any) -> Any:
        asked.append((spec.name, devices, strategy))
        return fit(spec, **options)

    monkeypatch.setattr("tidewright.workflows.field.fit", learn)
    do(tmp_path, "model=dlinear,lightgbm", "train.epochs=1", "train.steps=2", "devices=2", "strategy=fsdp")
    assert ("dlinear", 2, "fsdp") in asked
    assert all(devices == 1 for name, devices, _ in asked if name != "dlinear")  # floors learn in one process


@pytest.mark.filterwarnings("ignore::tidewright.errors.FallbackWarning")
def test_networks_compute_as_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    def learn(spec: Any, *, runtime: Any, **options: Any) -> Any:
        asked.append({name: choice.requested for name, choice in runtime.choices.items()})
        return fit(spec, **options)

    monkeypatch.setattr("tidewright.workflows.field.fit", learn)
    words = {"device": "cuda", "threads": "2", "precision": "bfloat16", "compile": "measured"}
    do(tmp_path, *TUNED, *(f"{name}={word}" for name, word in words.items()))
    assert all(one.items() >= words.items() for one in asked)
    learned, asked[:] = len(asked), []
    do(tmp_path, *TUNED)
    assert len(asked) == learned  # those of the search among them
    assert all(one["precision"] == one["device"] == "auto" for one in asked)


def test_a_precision_that_is_not_there_is_noted_and_ends_a_strict_run(tmp_path: Path) -> None:
    with pytest.warns(FallbackWarning, match="tf32 was asked for, float32 is used"):
        result = do(tmp_path, "precision=tf32")
    assert [(note.asked, note.used) for note in result.notes if note.kind == "precision"] == [("tf32", "float32")]
    with pytest.raises(BackendError, match="tf32 was asked for"):
        do(tmp_path, "precision=tf32", "strict=true")


def test_what_was_measured_while_a_network_learned_is_noted(tmp_path: Path) -> None:
    small = ("model=feedforward", "models.feedforward.hidden=[8]", "train.epochs=1", "train.steps=2")
    overrides = [*small, *(item for item in BASE if "lightgbm" not in item), f"folder={tmp_path}", "precision=fastest"]
    result = run(TABLE, overrides=overrides, series="shop", time="hour", target="sold", known=("price",))
    (note,) = (note for note in result.notes if note.kind == "computing")
    assert (note.asked, note.used in ("float32", "bfloat16")) == ("feedforward", True)
    assert "ms a step" in note.reason


def test_a_model_that_fails_is_left_out_with_a_note_and_ends_a_strict_run(tmp_path: Path) -> None:
    wrong = "models.lightgbm.lags=[999]"
    result = do(tmp_path, wrong)
    assert "lightgbm" in result.leaderboard.failed
    assert any(note.kind == "left out" and note.asked == "lightgbm" for note in result.notes)
    with pytest.raises(ConfigError, match="each lag is a different whole number"):
        do(tmp_path, wrong, "strict=true")


@pytest.mark.parametrize("track", [True, False])
def test_tracking_is_asked_for_as_the_option_says(track: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def listen(*given: Any, mlflow: bool, **options: Any) -> Any:
        asked.append(mlflow)
        return open_listener(*given, mlflow=False, **options)

    monkeypatch.setattr("tidewright.workflows.run.open_listener", listen)
    result = do(tmp_path, f"track={track}")
    assert asked == [track]
    assert result.folder.parent == tmp_path


def test_the_verdict_depends_on_nothing_in_the_test_part(tmp_path: Path) -> None:
    ours = do(tmp_path, *TUNED)
    assert ours.split.test is not None
    hidden = ours.panel.positions > ours.split.test.first
    shaken = np.where(hidden, 50.0 + 9.0 * np.sin(ours.panel.positions), ours.panel.target)
    table = ours.panel.table.with_columns(sold=shaken).fill_nan(None)
    overrides = [*BASE[:3], "track=false", f"folder={tmp_path}", *TUNED[:2]]
    theirs = run(table, overrides=overrides, series="shop", time="hour", target="sold", known=("price",))
    boards = [result.leaderboard for result in (ours, theirs)]
    assert boards[0].reason == boards[1].reason
    assert boards[0].winner == boards[1].winner
    for row in boards[0].rows:
        other = boards[1].row(row.model)
        assert dict(row.validation) == dict(other.validation)
        assert row.comparison == other.comparison or np.isnan(row.comparison.p_value)
        assert dict(row.test) != dict(other.test)


def test_a_model_that_can_not_be_scored_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidewright.errors import FitError
    from tidewright.workflows import field

    honest = field.evaluate

    def refuse(fitted: Any, **asked: Any) -> Any:
        if fitted.spec.name == "drift":
            raise FitError("drift gave no finite forecast")
        return honest(fitted, **asked)

    monkeypatch.setattr(field, "evaluate", refuse)
    board = do(tmp_path).leaderboard
    assert board.failed["drift"] == "drift gave no finite forecast"
    assert "drift" not in [row.model for row in board.rows]
