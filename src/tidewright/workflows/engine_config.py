"""`MLTrainingEngineConfig`: how options are searched, in the words of the optimisations' guide."""

from __future__ import annotations

from dataclasses import dataclass

from tidewright.errors import ConfigError
from tidewright.tuning.optimizer import AdaptiveHyperparameterOptimizer, OptimizationStrategy


@dataclass
class MLTrainingEngineConfig:
    """The fields of the guide that say how options are searched; each is the optimizer's argument of that meaning."""

    enable_adaptive_hyperopt: bool = True
    hyperopt_backend: str = "optuna"
    adaptive_search_space: bool = True
    max_trials: int = 100
    optimization_strategy: OptimizationStrategy = OptimizationStrategy.ADAPTIVE

    def make_optimizer(self) -> AdaptiveHyperparameterOptimizer:
        """The optimizer that it describes. Raises `ConfigError`, also where it is not enabled."""
        if not self.enable_adaptive_hyperopt:
            raise ConfigError("enable_adaptive_hyperopt is False, so there is no optimizer. Set it to True.")
        return AdaptiveHyperparameterOptimizer(
            backend=self.hyperopt_backend,
            strategy=self.optimization_strategy,
            adaptive_search_space=self.adaptive_search_space,
            max_trials=self.max_trials,
        )
