"""Tidewright: train once, apply many, decide.

The names below are imported when they are first used, so that `import tidewright` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidewright.data.combinatorial import combinatorial_splits as combinatorial_splits
    from tidewright.data.forecast import Forecast as Forecast
    from tidewright.data.hierarchy import aggregate as aggregate
    from tidewright.data.hierarchy import build_hierarchy as build_hierarchy
    from tidewright.data.inspect import inspect as inspect
    from tidewright.data.panel import Panel as Panel
    from tidewright.data.splits import split_holdout as split_holdout
    from tidewright.data.splits import split_rolling as split_rolling
    from tidewright.data.task import Task as Task
    from tidewright.features.encoding import fit_target_encoding as fit_target_encoding
    from tidewright.features.events import add_events as add_events
    from tidewright.features.groups import add_groups as add_groups
    from tidewright.features.history import add_seasonal as add_seasonal
    from tidewright.features.history import add_since as add_since
    from tidewright.features.history import add_weighted as add_weighted
    from tidewright.features.holidays import add_holidays as add_holidays
    from tidewright.features.lags import add_lags as add_lags
    from tidewright.features.recipe import build_recipe as build_recipe
    from tidewright.features.season_shift import add_season_shift as add_season_shift
    from tidewright.features.shape import ShapeSpec as ShapeSpec
    from tidewright.features.shape import shape_table as shape_table
    from tidewright.features.store import FeatureStore as FeatureStore
    from tidewright.features.technical import add_technical as add_technical
    from tidewright.features.view import View as View
    from tidewright.inference.batching import batching as batching
    from tidewright.inference.bench import bench as bench
    from tidewright.inference.cache import cached as cached
    from tidewright.inference.each import open_each as open_each
    from tidewright.inference.jit.compiler import JITCompiler as JITCompiler
    from tidewright.inference.jit.compiler import jit_if_hot as jit_if_hot
    from tidewright.inference.jit.tracker import HotPathTracker as HotPathTracker
    from tidewright.inference.metrics_text import write_metrics as write_metrics
    from tidewright.inference.session import open_session as open  # noqa: F401  # ruff knows the builtin only
    from tidewright.metrics.returns import RETURN_METRICS as RETURN_METRICS
    from tidewright.metrics.returns import summarise as summarise
    from tidewright.models.build import build_spec as build_spec
    from tidewright.models.classic import ArchitectureType as ArchitectureType
    from tidewright.models.classic import ModelConfig as ModelConfig
    from tidewright.models.recommend import recommend as recommend
    from tidewright.portfolio.allocate.catalog import RULES as RULES
    from tidewright.portfolio.allocate.door import allocate as allocate
    from tidewright.portfolio.allocate.risk import risk_contributions as risk_contributions
    from tidewright.portfolio.backtest.actions import Actions as Actions
    from tidewright.portfolio.backtest.actions import Delisting as Delisting
    from tidewright.portfolio.backtest.capacity import capacity as capacity
    from tidewright.portfolio.backtest.crossover import crossover as crossover
    from tidewright.portfolio.backtest.crossover import moving_average as moving_average
    from tidewright.portfolio.backtest.rebalance import Rebalance as Rebalance
    from tidewright.portfolio.backtest.signals import backtest_signals as backtest_signals
    from tidewright.portfolio.backtest.weights import backtest_strategies as backtest_strategies
    from tidewright.portfolio.backtest.weights import backtest_weights as backtest_weights
    from tidewright.portfolio.costs import Costs as Costs
    from tidewright.portfolio.covariance.estimate import COVARIANCES as COVARIANCES
    from tidewright.portfolio.covariance.estimate import estimate_covariance as covariance  # noqa: F401
    from tidewright.portfolio.covariance.record import Covariance as Covariance
    from tidewright.portfolio.forecasts.read import read_predictions as read_predictions
    from tidewright.portfolio.forecasts.skill import measure_skill as measure_skill
    from tidewright.portfolio.forecasts.skill import walk_skill as walk_skill
    from tidewright.portfolio.forecasts.tilt import tilt_by_forecast as tilt_by_forecast
    from tidewright.portfolio.inference.overfitting import pbo as pbo
    from tidewright.portfolio.inference.paths import cross_validate_paths as cross_validate_paths
    from tidewright.portfolio.inference.permutation import permutation_test as permutation_test
    from tidewright.portfolio.inference.sharpe import deflated_sharpe as deflated_sharpe
    from tidewright.portfolio.inference.sharpe import minimum_track_record as minimum_track_record
    from tidewright.portfolio.inference.sharpe import probabilistic_sharpe as probabilistic_sharpe
    from tidewright.portfolio.inference.sharpe import sample_sharpe as sample_sharpe
    from tidewright.portfolio.inference.superior import reality_check as reality_check
    from tidewright.portfolio.inference.superior import spa as spa
    from tidewright.portfolio.ledger import Ledger as Ledger
    from tidewright.portfolio.limits import Limits as Limits
    from tidewright.portfolio.lookahead.check import check_lookahead as check_lookahead
    from tidewright.portfolio.optimise.frontier import Frontier as Frontier
    from tidewright.portfolio.optimise.frontier import frontier as frontier
    from tidewright.portfolio.optimise.optimise import Optimum as Optimum
    from tidewright.portfolio.optimise.optimise import optimise as optimise
    from tidewright.portfolio.optimise.read import CostBasis as CostBasis
    from tidewright.portfolio.optimise.views import Views as Views
    from tidewright.portfolio.optimise.views import black_litterman as black_litterman
    from tidewright.portfolio.risk.backtests import test_var as test_var
    from tidewright.portfolio.risk.episodes import EPISODES as EPISODES
    from tidewright.portfolio.risk.episodes import Episode as Episode
    from tidewright.portfolio.risk.measure import value_at_risk as value_at_risk
    from tidewright.portfolio.risk.rolling import rolling_var as rolling_var
    from tidewright.portfolio.risk.shocks import Shock as Shock
    from tidewright.portfolio.risk.simple import calculate_cvar as calculate_cvar
    from tidewright.portfolio.risk.simple import calculate_var as calculate_var
    from tidewright.portfolio.risk.stress import stress as stress
    from tidewright.portfolio.strategy.check import check_strategy as check_strategy
    from tidewright.portfolio.universe import Universe as Universe
    from tidewright.portfolio.volatility.fit import fit_volatility as fit_volatility
    from tidewright.portfolio.volatility.ranges import range_volatility as range_volatility
    from tidewright.portfolio.volatility.ranges import realised_volatility as realised_volatility
    from tidewright.portfolio.walk import returns_from_prices as returns_from_prices
    from tidewright.portfolio.walk import walk_weights as walk_weights
    from tidewright.portfolio.weights import Weights as Weights
    from tidewright.registry.arms import compare_arms as compare_arms
    from tidewright.registry.bundle import save_bundle as save_bundle
    from tidewright.registry.each import save_each as save_each
    from tidewright.registry.estimator_bundle import load_estimator as load_estimator
    from tidewright.registry.estimator_bundle import save_estimator as save_estimator
    from tidewright.registry.quantise import quantise as quantise
    from tidewright.registry.store import open_store as open_store
    from tidewright.registry.triton import write_triton as write_triton
    from tidewright.report.html import write_report as write_report
    from tidewright.report.study_page import write_study_page as write_study_page
    from tidewright.report.tear_sheet import write_tear_sheet as write_tear_sheet
    from tidewright.serving.client import Client as Client
    from tidewright.training.change import Vintage as Vintage
    from tidewright.training.change import explain_change as explain_change
    from tidewright.training.ensemble import fit_ensemble as fit_ensemble
    from tidewright.training.evaluate import evaluate as evaluate
    from tidewright.training.explain_trees import explain_trees as explain_trees
    from tidewright.training.fit import fit as fit
    from tidewright.training.fit_estimator import fit_estimator as fit_estimator
    from tidewright.training.forecast import forecast as forecast
    from tidewright.training.importance import permutation_importance as permutation_importance
    from tidewright.training.population import fit_population as fit_population
    from tidewright.training.positions import fit_positions as fit_positions
    from tidewright.training.reconcile import fit_reconciler as fit_reconciler
    from tidewright.training.seeds import fit_seeds as fit_seeds
    from tidewright.training.select_features import select_features as select_features
    from tidewright.training.snapshots import fit_snapshots as fit_snapshots
    from tidewright.training.spec import TrainSpec as TrainSpec
    from tidewright.training.trade import Trading as Trading
    from tidewright.training.update import update as update
    from tidewright.tuning.adaptive import AdaptiveSearchSpace as AdaptiveSearchSpace
    from tidewright.tuning.change_space import change_space as change_space
    from tidewright.tuning.importance import importance as importance
    from tidewright.tuning.optimizer import AdaptiveHyperparameterOptimizer as AdaptiveHyperparameterOptimizer
    from tidewright.tuning.optimizer import OptimizationStrategy as OptimizationStrategy
    from tidewright.tuning.patterns import PerformanceTracker as PerformanceTracker
    from tidewright.tuning.pruners import PRUNERS as PRUNERS
    from tidewright.tuning.read_space import find_space as find_space
    from tidewright.tuning.read_space import read_space as read_space
    from tidewright.tuning.searchers.catalog import SEARCHERS as SEARCHERS
    from tidewright.tuning.space import SearchSpace as SearchSpace
    from tidewright.tuning.stops import Convergence as Convergence
    from tidewright.tuning.stops import RegretBound as RegretBound
    from tidewright.tuning.tried import Tried as Tried
    from tidewright.tuning.tried import read_tried as read_tried
    from tidewright.tuning.tune import tune as tune
    from tidewright.workflows.auto_trainer import AutoTrainer as AutoTrainer
    from tidewright.workflows.auto_trainer import AutoTrainerConfig as AutoTrainerConfig
    from tidewright.workflows.compiled_inference import CompiledInferenceLayer as CompiledInferenceLayer
    from tidewright.workflows.compiled_inference import InferenceBackend as InferenceBackend
    from tidewright.workflows.deflate import deflate as deflate
    from tidewright.workflows.engine_config import MLTrainingEngineConfig as MLTrainingEngineConfig
    from tidewright.workflows.factory import PyTorchModelFactory as PyTorchModelFactory
    from tidewright.workflows.forecasters import LSTMForecaster as LSTMForecaster
    from tidewright.workflows.forecasters import TCNForecaster as TCNForecaster
    from tidewright.workflows.forecasters import TransformerForecaster as TransformerForecaster
    from tidewright.workflows.hyperparameter_space import HyperparameterSpace as HyperparameterSpace
    from tidewright.workflows.hyperparameter_space import OptimizerType as OptimizerType
    from tidewright.workflows.inference_config import InferenceEngineConfig as InferenceEngineConfig
    from tidewright.workflows.inference_engine import InferenceEngine as InferenceEngine
    from tidewright.workflows.monitor import monitor as monitor
    from tidewright.workflows.run import run as run
    from tidewright.workflows.tune_each import tune_each as tune_each
    from tidewright.workflows.walk_forward import walk_forward as walk_forward
    from tidewright.workflows.walk_record import repeat_decision as repeat_decision

__version__ = "0.1.0"

_HOMES = {
    "Actions": "tidewright.portfolio.backtest.actions:Actions",
    "COVARIANCES": "tidewright.portfolio.covariance.estimate:COVARIANCES",
    "Delisting": "tidewright.portfolio.backtest.actions:Delisting",
    "RULES": "tidewright.portfolio.allocate.catalog:RULES",
    "Rebalance": "tidewright.portfolio.backtest.rebalance:Rebalance",
    "AdaptiveHyperparameterOptimizer": "tidewright.tuning.optimizer:AdaptiveHyperparameterOptimizer",
    "AdaptiveSearchSpace": "tidewright.tuning.adaptive:AdaptiveSearchSpace",
    "AutoTrainer": "tidewright.workflows.auto_trainer:AutoTrainer",
    "AutoTrainerConfig": "tidewright.workflows.auto_trainer:AutoTrainerConfig",
    "ArchitectureType": "tidewright.models.classic:ArchitectureType",
    "Client": "tidewright.serving.client:Client",
    "combinatorial_splits": "tidewright.data.combinatorial:combinatorial_splits",
    "CompiledInferenceLayer": "tidewright.workflows.compiled_inference:CompiledInferenceLayer",
    "Costs": "tidewright.portfolio.costs:Costs",
    "FeatureStore": "tidewright.features.store:FeatureStore",
    "Forecast": "tidewright.data.forecast:Forecast",
    "HotPathTracker": "tidewright.inference.jit.tracker:HotPathTracker",
    "InferenceBackend": "tidewright.workflows.compiled_inference:InferenceBackend",
    "InferenceEngine": "tidewright.workflows.inference_engine:InferenceEngine",
    "InferenceEngineConfig": "tidewright.workflows.inference_config:InferenceEngineConfig",
    "JITCompiler": "tidewright.inference.jit.compiler:JITCompiler",
    "LSTMForecaster": "tidewright.workflows.forecasters:LSTMForecaster",
    "Ledger": "tidewright.portfolio.ledger:Ledger",
    "fit_volatility": "tidewright.portfolio.volatility.fit:fit_volatility",
    "Limits": "tidewright.portfolio.limits:Limits",
    "CostBasis": "tidewright.portfolio.optimise.read:CostBasis",
    "Frontier": "tidewright.portfolio.optimise.frontier:Frontier",
    "Optimum": "tidewright.portfolio.optimise.optimise:Optimum",
    "Views": "tidewright.portfolio.optimise.views:Views",
    "black_litterman": "tidewright.portfolio.optimise.views:black_litterman",
    "frontier": "tidewright.portfolio.optimise.frontier:frontier",
    "optimise": "tidewright.portfolio.optimise.optimise:optimise",
    "minimum_track_record": "tidewright.portfolio.inference.sharpe:minimum_track_record",
    "HyperparameterSpace": "tidewright.workflows.hyperparameter_space:HyperparameterSpace",
    "ModelConfig": "tidewright.models.classic:ModelConfig",
    "MLTrainingEngineConfig": "tidewright.workflows.engine_config:MLTrainingEngineConfig",
    "OptimizationStrategy": "tidewright.tuning.optimizer:OptimizationStrategy",
    "OptimizerType": "tidewright.workflows.hyperparameter_space:OptimizerType",
    "Panel": "tidewright.data.panel:Panel",
    "pbo": "tidewright.portfolio.inference.overfitting:pbo",
    "PerformanceTracker": "tidewright.tuning.patterns:PerformanceTracker",
    "PyTorchModelFactory": "tidewright.workflows.factory:PyTorchModelFactory",
    "RETURN_METRICS": "tidewright.metrics.returns:RETURN_METRICS",
    "TCNForecaster": "tidewright.workflows.forecasters:TCNForecaster",
    "SearchSpace": "tidewright.tuning.space:SearchSpace",
    "SEARCHERS": "tidewright.tuning.searchers.catalog:SEARCHERS",
    "PRUNERS": "tidewright.tuning.pruners:PRUNERS",
    "Convergence": "tidewright.tuning.stops:Convergence",
    "Covariance": "tidewright.portfolio.covariance.record:Covariance",
    "cross_validate_paths": "tidewright.portfolio.inference.paths:cross_validate_paths",
    "deflate": "tidewright.workflows.deflate:deflate",
    "deflated_sharpe": "tidewright.portfolio.inference.sharpe:deflated_sharpe",
    "RegretBound": "tidewright.tuning.stops:RegretBound",
    "find_space": "tidewright.tuning.read_space:find_space",
    "quantise": "tidewright.registry.quantise:quantise",
    "range_volatility": "tidewright.portfolio.volatility.ranges:range_volatility",
    "read_space": "tidewright.tuning.read_space:read_space",
    "change_space": "tidewright.tuning.change_space:change_space",
    "check_lookahead": "tidewright.portfolio.lookahead.check:check_lookahead",
    "check_strategy": "tidewright.portfolio.strategy.check:check_strategy",
    "ShapeSpec": "tidewright.features.shape:ShapeSpec",
    "realised_volatility": "tidewright.portfolio.volatility.ranges:realised_volatility",
    "repeat_decision": "tidewright.workflows.walk_record:repeat_decision",
    "returns_from_prices": "tidewright.portfolio.walk:returns_from_prices",
    "spa": "tidewright.portfolio.inference.superior:spa",
    "Task": "tidewright.data.task:Task",
    "TrainSpec": "tidewright.training.spec:TrainSpec",
    "Trading": "tidewright.training.trade:Trading",
    "Tried": "tidewright.tuning.tried:Tried",
    "TransformerForecaster": "tidewright.workflows.forecasters:TransformerForecaster",
    "Universe": "tidewright.portfolio.universe:Universe",
    "View": "tidewright.features.view:View",
    "Vintage": "tidewright.training.change:Vintage",
    "add_events": "tidewright.features.events:add_events",
    "add_groups": "tidewright.features.groups:add_groups",
    "add_holidays": "tidewright.features.holidays:add_holidays",
    "add_season_shift": "tidewright.features.season_shift:add_season_shift",
    "add_lags": "tidewright.features.lags:add_lags",
    "add_seasonal": "tidewright.features.history:add_seasonal",
    "add_since": "tidewright.features.history:add_since",
    "add_technical": "tidewright.features.technical:add_technical",
    "add_weighted": "tidewright.features.history:add_weighted",
    "backtest_signals": "tidewright.portfolio.backtest.signals:backtest_signals",
    "backtest_strategies": "tidewright.portfolio.backtest.weights:backtest_strategies",
    "backtest_weights": "tidewright.portfolio.backtest.weights:backtest_weights",
    "batching": "tidewright.inference.batching:batching",
    "bench": "tidewright.inference.bench:bench",
    "cached": "tidewright.inference.cache:cached",
    "build_recipe": "tidewright.features.recipe:build_recipe",
    "aggregate": "tidewright.data.hierarchy:aggregate",
    "test_var": "tidewright.portfolio.risk.backtests:test_var",
    "EPISODES": "tidewright.portfolio.risk.episodes:EPISODES",
    "Episode": "tidewright.portfolio.risk.episodes:Episode",
    "tilt_by_forecast": "tidewright.portfolio.forecasts.tilt:tilt_by_forecast",
    "value_at_risk": "tidewright.portfolio.risk.measure:value_at_risk",
    "rolling_var": "tidewright.portfolio.risk.rolling:rolling_var",
    "Shock": "tidewright.portfolio.risk.shocks:Shock",
    "calculate_cvar": "tidewright.portfolio.risk.simple:calculate_cvar",
    "calculate_var": "tidewright.portfolio.risk.simple:calculate_var",
    "stress": "tidewright.portfolio.risk.stress:stress",
    "Weights": "tidewright.portfolio.weights:Weights",
    "allocate": "tidewright.portfolio.allocate.door:allocate",
    "build_hierarchy": "tidewright.data.hierarchy:build_hierarchy",
    "build_spec": "tidewright.models.build:build_spec",
    "evaluate": "tidewright.training.evaluate:evaluate",
    "explain_change": "tidewright.training.change:explain_change",
    "explain_trees": "tidewright.training.explain_trees:explain_trees",
    "fit": "tidewright.training.fit:fit",
    "fit_ensemble": "tidewright.training.ensemble:fit_ensemble",
    "fit_estimator": "tidewright.training.fit_estimator:fit_estimator",
    "fit_population": "tidewright.training.population:fit_population",
    "fit_positions": "tidewright.training.positions:fit_positions",
    "fit_seeds": "tidewright.training.seeds:fit_seeds",
    "fit_snapshots": "tidewright.training.snapshots:fit_snapshots",
    "fit_target_encoding": "tidewright.features.encoding:fit_target_encoding",
    "fit_reconciler": "tidewright.training.reconcile:fit_reconciler",
    "forecast": "tidewright.training.forecast:forecast",
    "importance": "tidewright.tuning.importance:importance",
    "inspect": "tidewright.data.inspect:inspect",
    "jit_if_hot": "tidewright.inference.jit.compiler:jit_if_hot",
    "load_estimator": "tidewright.registry.estimator_bundle:load_estimator",
    "open": "tidewright.inference.session:open_session",
    "open_each": "tidewright.inference.each:open_each",
    "crossover": "tidewright.portfolio.backtest.crossover:crossover",
    "measure_skill": "tidewright.portfolio.forecasts.skill:measure_skill",
    "read_predictions": "tidewright.portfolio.forecasts.read:read_predictions",
    "walk_forward": "tidewright.workflows.walk_forward:walk_forward",
    "walk_skill": "tidewright.portfolio.forecasts.skill:walk_skill",
    "moving_average": "tidewright.portfolio.backtest.crossover:moving_average",
    "monitor": "tidewright.workflows.monitor:monitor",
    "capacity": "tidewright.portfolio.backtest.capacity:capacity",
    "compare_arms": "tidewright.registry.arms:compare_arms",
    "covariance": "tidewright.portfolio.covariance.estimate:estimate_covariance",
    "open_store": "tidewright.registry.store:open_store",
    "permutation_importance": "tidewright.training.importance:permutation_importance",
    "permutation_test": "tidewright.portfolio.inference.permutation:permutation_test",
    "probabilistic_sharpe": "tidewright.portfolio.inference.sharpe:probabilistic_sharpe",
    "recommend": "tidewright.models.recommend:recommend",
    "read_tried": "tidewright.tuning.tried:read_tried",
    "risk_contributions": "tidewright.portfolio.allocate.risk:risk_contributions",
    "reality_check": "tidewright.portfolio.inference.superior:reality_check",
    "run": "tidewright.workflows.run:run",
    "sample_sharpe": "tidewright.portfolio.inference.sharpe:sample_sharpe",
    "save_bundle": "tidewright.registry.bundle:save_bundle",
    "save_each": "tidewright.registry.each:save_each",
    "save_estimator": "tidewright.registry.estimator_bundle:save_estimator",
    "shape_table": "tidewright.features.shape:shape_table",
    "select_features": "tidewright.training.select_features:select_features",
    "split_holdout": "tidewright.data.splits:split_holdout",
    "split_rolling": "tidewright.data.splits:split_rolling",
    "summarise": "tidewright.metrics.returns:summarise",
    "tune": "tidewright.tuning.tune:tune",
    "tune_each": "tidewright.workflows.tune_each:tune_each",
    "update": "tidewright.training.update:update",
    "walk_weights": "tidewright.portfolio.walk:walk_weights",
    "write_metrics": "tidewright.inference.metrics_text:write_metrics",
    "write_report": "tidewright.report.html:write_report",
    "write_tear_sheet": "tidewright.report.tear_sheet:write_tear_sheet",
    "write_triton": "tidewright.registry.triton:write_triton",
    "write_study_page": "tidewright.report.study_page:write_study_page",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # a list of names, made from the table that says where they live


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"tidewright has no '{name}'. It has: {', '.join(sorted(_HOMES))}.")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
