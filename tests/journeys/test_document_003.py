"""The code of the optimisations' guide that is about the search and about inference, with only its import changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright import MLTrainingEngineConfig, OptimizationStrategy, PerformanceTracker
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, FallbackWarning
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit
from tidewright.tuning.ranges import FloatRange, IntRange
from tidewright.workflows import inference_config

INFERENCE_IMPORTS = """
from tidewright import InferenceEngine
from tidewright import InferenceEngineConfig
"""

CONFIG = """
# Create optimized inference configuration
config = InferenceEngineConfig(
    enable_jit_compilation=True,
    enable_mixed_precision=True,
    enable_streaming=True,
    streaming_batch_size=500,
    enable_batching=True,
    max_batch_size=64
)
"""

LOAD = """
# Initialize inference engine
inference_engine = InferenceEngine(config)
inference_engine.load_model("path/to/model.pkl")
"""

ANSWER = """
# Standard inference
success, predictions, metadata = inference_engine.predict(features)

# Streaming batch inference for large datasets
for success, chunk_predictions, metadata in inference_engine.predict_batch_streaming(
    large_dataframe, batch_size=1000
):
    if success:
        process_predictions(chunk_predictions)
"""

STATISTICS = """
# JIT compilation stats
jit_stats = engine.jit_compiler.get_performance_stats()

# Mixed precision stats
mp_stats = engine.mixed_precision_manager.get_performance_stats()

# Streaming pipeline stats
streaming_stats = engine.streaming_pipeline.get_performance_stats()
"""

DEBUG = """
config = InferenceEngineConfig(
    debug_mode=True,
    log_level="DEBUG"
)
"""


def test_the_guides_adaptive_search_finds_a_known_best_and_tells_its_history() -> None:
    config = MLTrainingEngineConfig(
        enable_adaptive_hyperopt=True,
        hyperopt_backend='optuna',        # 'optuna', 'hyperopt', 'skopt'
        adaptive_search_space=True,       # Enable dynamic adaptation
        max_trials=100,                   # Maximum optimization trials
        optimization_strategy=OptimizationStrategy.ADAPTIVE
    )  # fmt: skip

    adaptive_optimizer = config.make_optimizer()  # the guide's engine holds it as engine.adaptive_optimizer
    space = {"rate": FloatRange(1e-5, 1.0, log=True), "depth": IntRange(1, 12)}
    found = adaptive_optimizer.optimize(lambda one: abs(one["depth"] - 5) + abs(one["rate"] - 0.01) ** 0.5, space)

    # Adaptive optimization history
    opt_history = adaptive_optimizer.get_optimization_history()

    assert found.best_parameters["depth"] == 5
    assert found.best_value < 0.1
    assert len(opt_history) == len(found.trials) <= 100
    assert any("rate narrowed to" in note for row in opt_history for note in row["notes"])
    assert isinstance(found.tracker, PerformanceTracker)
    assert found.tracker.spreads()["depth"] < 0.5


def test_every_field_is_live() -> None:
    usual = MLTrainingEngineConfig()
    assert usual.max_trials == 100
    assert usual.optimization_strategy == OptimizationStrategy.ADAPTIVE
    config = MLTrainingEngineConfig(True, "skopt", False, 7, OptimizationStrategy.RANDOM_SEARCH)
    made = config.make_optimizer()
    assert (made.backend, made.adaptive_search_space, made.max_trials) == ("skopt", False, 7)
    assert made.strategy is OptimizationStrategy.RANDOM_SEARCH
    with pytest.raises(ConfigError, match="enable_adaptive_hyperopt is False"):
        MLTrainingEngineConfig(enable_adaptive_hyperopt=False).make_optimizer()


def run(block: str, scope: dict[str, Any]) -> None:
    exec(compile(block, "document 003", "exec"), scope)


def test_the_inference_block_refuses_a_pickle_and_answers_from_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, task = small_panel(covariates=False), Task(4)
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, task), task=task)
    bundle = save_bundle(fitted, panel=panel, folder=tmp_path / "model")
    rows = 50.0 + np.random.default_rng(0).normal(size=(2500, 24)).astype(np.float32)
    kept: list[np.ndarray] = []
    scope = {"features": rows[:3], "large_dataframe": pl.DataFrame(rows), "process_predictions": kept.append}
    run(INFERENCE_IMPORTS + CONFIG, scope)
    monkeypatch.setattr(inference_config, "explain_no_reduced", lambda device: "")  # as on a machine that has bfloat16
    with pytest.raises(BundleError, match=r"is a pickle, which runs what its writer wished and is never loaded"):
        run(LOAD, scope)
    with pytest.warns(FallbackWarning, match="mixed precision was asked for, float32 is used: ridge is a formula"):
        run(LOAD.replace("path/to/model.pkl", str(bundle.folder)), scope)
    run(ANSWER, scope)
    assert scope["success"] is True
    assert [len(one) for one in kept] == [1000, 1000, 500]
    np.testing.assert_allclose(scope["predictions"], kept[0][:3], rtol=1e-6)
    assert scope["metadata"]["passes"] == 8  # of at most 64 rows
    run(STATISTICS, scope | {"engine": scope["inference_engine"]})
    assert scope["inference_engine"].streaming_pipeline.get_performance_stats()["rows"] == 2500
    run(INFERENCE_IMPORTS + DEBUG, scope)
    assert scope["config"].debug_mode
