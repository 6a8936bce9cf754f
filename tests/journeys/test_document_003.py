"""The code of the optimisations' guide that is about the search, with only its import changed."""

from __future__ import annotations

import pytest

from tidewright import MLTrainingEngineConfig, OptimizationStrategy, PerformanceTracker
from tidewright.errors import ConfigError
from tidewright.tuning.ranges import FloatRange, IntRange


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
