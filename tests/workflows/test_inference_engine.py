"""The inference engine: its triples, its stream, and every field of its config."""

from __future__ import annotations

import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel, small_table
from tidewright import InferenceEngine, InferenceEngineConfig, runtime
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BackendError, BundleError, ConfigError, FallbackWarning, UnknownNameError
from tidewright.features.view import View
from tidewright.inference import reduced
from tidewright.models.build import build_spec
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import Bundle, save_bundle
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.workflows import inference_config

TASK = Task(4)


@pytest.fixture(scope="module")
def ridge(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    panel = small_panel(covariates=False)
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "ridge")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    panel, train = small_panel(covariates=False), TrainSpec(epochs=1, steps=2)
    split = split_holdout(panel, TASK)
    fitted = fit(build_spec("nlinear"), panel=panel, split=split, task=TASK, view=View(24), train=train)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "network")


def windows(count: int, *, seed: int = 0) -> np.ndarray:
    return 50.0 + np.random.default_rng(seed).normal(size=(count, 24)).astype(np.float32)


def opened(bundle: Bundle, *, before: Any = None, after: Any = None, **options: Any) -> InferenceEngine:
    engine = InferenceEngine(InferenceEngineConfig(**options))
    engine.load_model(bundle.folder, before=before, after=after)
    return engine


def test_an_answer_is_true_with_the_forecasts_and_what_answered(ridge: Bundle) -> None:
    engine, rows = opened(ridge), windows(5)
    success, predictions, metadata = engine.predict(rows)
    assert success is True
    assert predictions.shape == (5, 4)
    assert (metadata["backend"], metadata["device"], metadata["rows"]) == ("onnxruntime", "cpu", 5)
    assert metadata["digest"] == ridge.digest
    assert 0 < metadata["latency_ms"] <= metadata["total_ms"]
    np.testing.assert_array_equal(engine.predict(rows[3])[1], engine.predict(rows[3:4])[1])
    np.testing.assert_allclose(engine.predict({"target": rows})[1], predictions)
    assert engine.get_latency_stats()["count"] == 4


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((1, 23)), "has the shape"),
        (np.full((1, 24), np.nan), "holds no observed value"),
        (np.full((1, 24), np.inf), "holds inf"),
        ("words", "numbers are needed"),
        (None, "numbers are needed"),
        ([[1.0], [1.0, 2.0]], "the features: rows of unlike lengths are no array"),
        ({"past": np.zeros((1, 24))}, "no input is called 'past'"),
        ({}, "the input 'target' is missing"),
        (np.zeros((0, 24), np.float32), "one or more"),
    ],
)
def test_a_bad_input_is_false_with_its_error(features: Any, message: str, ridge: Bundle) -> None:
    success, predictions, metadata = opened(ridge).predict(features)
    assert success is False
    assert predictions is None
    assert message in metadata["error"]
    assert metadata["error_type"] in ("DataError", "ColumnError")


def test_a_defect_is_raised_and_never_false(ridge: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*rows: Any) -> Any:
        raise ZeroDivisionError("mine")

    for place in ("before", "after"):
        engine = opened(ridge, **{place: broken})
        with pytest.raises(ZeroDivisionError, match="mine"):
            engine.predict(windows(1))
    engine = opened(ridge)
    monkeypatch.setattr("tidewright.inference.local_session.check_inputs", broken)
    with pytest.raises(ZeroDivisionError):
        engine.predict(windows(2).astype(np.float64))


def test_a_pickle_is_refused_with_advice_and_nothing_is_answered_before_a_model_is_loaded(tmp_path: Path) -> None:
    engine = InferenceEngine()
    with pytest.raises(BundleError, match=r"is a pickle, which runs what its writer wished.*tw\.save_bundle writes"):
        engine.load_model(tmp_path / "model.pkl")
    with pytest.raises(ConfigError, match="no model is loaded"):
        engine.predict(windows(1))
    with pytest.raises(ConfigError, match="no model is loaded"):
        engine.predict_batch_streaming(windows(1))


def test_a_stream_gives_in_chunks_what_one_call_gives(ridge: Bundle) -> None:
    engine, rows = opened(ridge), windows(23)
    whole = engine.predict(rows)[1]
    table = pl.DataFrame(rows, schema=[f"step_{n}" for n in range(24)])
    for given in (table, table.to_pandas(), table.to_arrow(), rows, {"target": rows}):
        found = list(engine.predict_batch_streaming(given, batch_size=10))
        assert [success for success, _, _ in found] == [True] * 3
        np.testing.assert_allclose(np.concatenate([one for _, one, _ in found]), whole, rtol=1e-6)
        assert [(meta["chunk"], meta["first_row"], meta["rows"]) for _, _, meta in found] == [
            (0, 0, 10),
            (1, 10, 10),
            (2, 20, 3),
        ]
    stats = engine.streaming_pipeline.get_performance_stats()
    assert (stats["chunks"], stats["failed"], stats["rows"]) == (15, 0, 115)
    assert stats["rows_per_s"] > 0
    assert list(engine.predict_batch_streaming(table.clear())) == []


def test_a_chunk_that_fails_leaves_the_others_as_they_are(ridge: Bundle) -> None:
    engine, rows = opened(ridge), windows(30)
    rows[12] = np.nan
    found = list(engine.predict_batch_streaming(pl.DataFrame(rows), batch_size=10))
    assert [success for success, _, _ in found] == [True, False, True]
    assert "window 2 of 'target' holds no observed value" in found[1][2]["error"]
    assert found[1][2]["first_row"] == 10
    assert engine.streaming_pipeline.get_performance_stats()["failed"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (small_table(covariates=False), "so it is raw history. Give it to tw.open(bundle).forecast"),
        (pl.DataFrame({"a": ["x"]}), "the column 'a' holds String; numbers are needed"),
        (7, "a table is needed, got int"),
        ({"target": np.zeros((2, 24)), "past": np.zeros((1, 24))}, "every input holds the same windows"),
    ],
)
def test_what_can_t_be_streamed_is_one_false_with_its_error(rows: Any, message: str, ridge: Bundle) -> None:
    ((success, predictions, metadata),) = opened(ridge).predict_batch_streaming(rows)
    assert (success, predictions) == (False, None)
    assert message in metadata["error"]


def test_enable_batching_and_max_batch_size_say_how_many_rows_go_at_a_time(ridge: Bundle) -> None:
    rows, found = windows(20), []
    for options in ({}, {"max_batch_size": 8}, {"enable_batching": False, "max_batch_size": 8}):
        success, predictions, metadata = opened(ridge, **options).predict(rows)
        assert success
        found.append(metadata["passes"])
        np.testing.assert_allclose(predictions, opened(ridge).predict(rows)[1], rtol=1e-6)
    assert found == [1, 3, 20]
    rows[18] = np.nan
    _, _, metadata = opened(ridge, max_batch_size=8).predict(rows)
    assert metadata["error"].startswith("rows 16 to 19: window 2 of 'target'")


def test_enable_streaming_and_streaming_batch_size(ridge: Bundle) -> None:
    assert len(list(opened(ridge).predict_batch_streaming(windows(501)))) == 2
    assert len(list(opened(ridge, streaming_batch_size=100).predict_batch_streaming(windows(501)))) == 6
    engine = opened(ridge, enable_streaming=False)
    with pytest.raises(ConfigError, match=r"enable_streaming is False, so there is none of it\. Set it to True"):
        engine.predict_batch_streaming(windows(1))
    with pytest.raises(ConfigError, match="enable_streaming is False"):
        _ = engine.streaming_pipeline
    with pytest.raises(ConfigError, match="batch_size is a whole number, 1 or more; got 0"):
        opened(ridge).predict_batch_streaming(windows(1), batch_size=0)


def total(points: Any) -> Any:
    sums = np.zeros(points.shape[0])
    for i in range(points.shape[0]):
        for j in range(points.shape[1]):
            sums[i] += points[i, j]
    return sums


def test_enable_jit_compilation_compiles_the_rules_around_the_model(ridge: Bundle) -> None:
    rows = windows(2000)
    plain = opened(ridge, enable_jit_compilation=False, after=total, max_batch_size=2000)
    engine = opened(ridge, jit_min_calls=3, jit_cache_size=7, after=total, max_batch_size=2000)
    engine.jit_compiler.tracker.payback = 0.0
    wanted = plain.predict(rows)[1]
    for _ in range(5):
        np.testing.assert_allclose(engine.predict(rows)[1], wanted, rtol=1e-9)
    assert engine.jit_compiler.wait(60)
    np.testing.assert_allclose(engine.predict(rows)[1], wanted, rtol=1e-9)
    stats = engine.jit_compiler.get_performance_stats()
    assert (stats["min_calls"], stats["cache_size"], stats["calls"]) == (3, 7, 6)
    assert stats["compiled"] == 1
    with pytest.raises(ConfigError, match="before is a function of an array, or None; got 5"):
        InferenceEngine().load_model(ridge.folder, before=5)
    with pytest.raises(ConfigError, match="enable_jit_compilation is False"):
        _ = plain.jit_compiler
    counted = opened(ridge, before=np.negative)  # not written in Python: it stays as it is
    assert counted.predict(rows)[0]
    assert counted.jit_compiler.get_performance_stats()["calls"] == 0


def test_mixed_precision_is_taken_where_it_wins_and_stays_near(
    network: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduced, "find_obstacle", lambda word, *, device: "")
    monkeypatch.setattr(inference_config, "explain_no_reduced", lambda device: "")
    seconds = {"float32": (2.0, 8.0), "bfloat16": (1.0, 1.0)}
    monkeypatch.setattr(reduced, "time_sessions", lambda sessions, bundle, *, batch_sizes: seconds)
    rows = windows(5)
    whole = opened(network).predict(rows)[1]
    engine = opened(network, enable_mixed_precision=True)
    stats = engine.mixed_precision_manager.get_performance_stats()
    assert stats["used"] == "bfloat16"
    assert stats["speed_up"] == pytest.approx(4.0)
    assert 0 < stats["difference"] <= stats["limit"]
    found = engine.predict(rows)[1]
    assert not np.array_equal(found, whole)
    np.testing.assert_allclose(found, whole, rtol=0.02)
    seconds["bfloat16"] = (3.0, 9.0)
    engine = opened(network, enable_mixed_precision=True)
    assert "bfloat16 does not win: 0.67 times as fast at batch 1" in engine.mixed_precision_manager.choice.reason
    np.testing.assert_array_equal(engine.predict(rows)[1], whole)
    monkeypatch.setattr(reduced, "LIMIT", 1e-9)
    engine = opened(network, enable_mixed_precision=True)
    assert "the example's answers differ by" in engine.mixed_precision_manager.choice.reason
    np.testing.assert_array_equal(engine.predict(rows)[1], whole)


def test_mixed_precision_on_this_machine_is_measured(network: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduced, "find_obstacle", lambda word, *, device: "")
    monkeypatch.setattr(inference_config, "explain_no_reduced", lambda device: "")
    engine = opened(network, enable_mixed_precision=True, max_batch_size=2)
    stats = engine.mixed_precision_manager.get_performance_stats()
    assert stats["speed_up"] > 0
    assert stats["used"] == ("bfloat16" if stats["speed_up"] > 1 else "float32")
    assert engine.predict(windows(3))[0]


def test_enable_mixed_precision_that_can_t_be_had_is_told_and_an_error_when_strict(
    ridge: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="enable_mixed_precision is False"):
        _ = opened(ridge).mixed_precision_manager
    lacking = "this processor has no instructions for it"
    monkeypatch.setattr(inference_config, "explain_no_reduced", lambda device: "")
    engine = InferenceEngine(InferenceEngineConfig(enable_mixed_precision=True))
    with pytest.raises(ConfigError, match="no model is loaded"):
        _ = engine.mixed_precision_manager
    with pytest.warns(FallbackWarning, match="mixed precision was asked for, float32 is used: ridge is a formula"):
        engine.load_model(ridge.folder)
    assert engine.mixed_precision_manager.choice.used == "float32"
    with pytest.raises(BackendError, match="and ridge is a formula"):
        opened(ridge, enable_mixed_precision=True, strict=True)
    monkeypatch.setattr(inference_config, "explain_no_reduced", lambda device: lacking)
    with pytest.warns(FallbackWarning, match=f"enable_mixed_precision was asked for and does nothing here: {lacking}"):
        engine = opened(ridge, enable_mixed_precision=True)
    assert engine.mixed_precision_manager.choice.reason == lacking
    with pytest.raises(BackendError, match=lacking):
        InferenceEngine(InferenceEngineConfig(enable_mixed_precision=True, strict=True))


def test_a_library_that_is_missing_is_found_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_config, "has", lambda name: False)
    monkeypatch.setattr(reduced, "explain_no_torch", lambda: "torch is not installed")
    config = InferenceEngineConfig(enable_mixed_precision=True)
    assert config.find_obstacles() == {
        "enable_jit_compilation": "numba is not installed",
        "enable_mixed_precision": "torch is not installed",
    }
    assert InferenceEngineConfig(enable_jit_compilation=False).find_obstacles() == {}


def test_device_is_asked_for_and_told(ridge: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "NVIDIA", (tmp_path / "none",))
    with pytest.warns(FallbackWarning, match="no NVIDIA driver"):
        engine = opened(ridge, device="cuda")
    assert engine.predict(windows(1))[2]["device"] == "cpu"


def test_debug_mode_tells_the_choice_and_the_traceback(ridge: Bundle) -> None:
    quiet, loud = opened(ridge), opened(ridge, debug_mode=True)
    assert "choice" not in quiet.predict(windows(1))[2]
    metadata = loud.predict(windows(1))[2]
    assert metadata["choice"].used == "onnxruntime"
    assert metadata["settings"]["threads"].used == "1"
    assert "traceback" not in quiet.predict("words")[2]
    assert "check_inputs" in loud.predict("words")[2]["traceback"]


def test_log_level_says_where_the_log_begins(ridge: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found = {}
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        caplog.clear()
        engine = opened(ridge, log_level=level)
        engine.predict(windows(1))
        engine.predict("words")
        found[level] = [one.levelname for one in caplog.records if one.name.endswith("inference_engine")]
    assert found == {
        "DEBUG": ["INFO", "DEBUG", "WARNING"],
        "INFO": ["INFO", "WARNING"],
        "WARNING": ["WARNING"],
        "ERROR": [],
    }


@pytest.mark.parametrize("name", [item.name for item in fields(InferenceEngineConfig)])
def test_every_field_is_tested_and_a_wrong_value_is_refused(name: str) -> None:
    wrong: dict[str, tuple[Any, ...]] = {"log_level": ("LOUD", 10), "device": ("gpu",)}
    for value in wrong.get(name, (None, 0, -1, 1.5, "yes")):
        with pytest.raises((ConfigError, UnknownNameError), match=name):
            InferenceEngineConfig(**{name: value})
    with pytest.raises((ConfigError, UnknownNameError)):
        InferenceEngineConfig(**{name: object()})
    tests = "".join(inspect.getsource(each) for key, each in globals().items() if key.startswith("test_"))
    assert f"{name}=" in tests or f'"{name}":' in tests


def test_threads_share_an_engine(ridge: Bundle) -> None:
    engine = opened(ridge, after=total)
    rows = [windows(3, seed=seed) for seed in range(32)]
    serial = [engine.predict(row)[1] for row in rows]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: engine.predict(row)[1], rows))
    assert all(np.array_equal(one, other) for one, other in zip(serial, found, strict=True))
