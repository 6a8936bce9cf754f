"""`AutoTrainer`: how a factory's network learns best, found by a search over arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError
from tidewright.optional import require
from tidewright.training.events import Callback
from tidewright.workflows.hyperparameter_space import HyperparameterSpace, OptimizerType

if TYPE_CHECKING:
    from tidewright.models.torch.classic import ClassicNet

Pair = tuple[Any, Any]  # features and labels, NumPy arrays or tensors, in the order of time
METRICS = {"loss": False, "accuracy": True, "sharpe": True, "sortino": True}  # whether more is better
METHODS = {"grid": "grid", "random": "random", "bayesian": "auto"}


@dataclass
class AutoTrainerConfig:
    """How `AutoTrainer` searches.

    `search_method` "grid" tries every point, "random" draws, "bayesian" learns from the trials before. A grid of more
    than `max_trials` points becomes an even draw of so many of them, and the result says so. `metric` is taken on the
    validation rows; `maximize_metric` may be left out, for a metric knows its own direction. A trial learns at least
    `min_epochs` and at most `max_epochs` epochs, and ends after `early_stopping_patience` without a gain of its
    validation loss. `cv_folds` above 1 judges every trial on so many folds of the training rows in time, `cv_gap` rows
    (the label's horizon) apart, and the winner then learns once more on all of them. `cost_bps` is what sharpe and
    sortino pay for what is traded; `periods_per_year` annualises them (1: per period). `prune` ends hopeless trials
    early. `together` trials that differ in nothing but rate, decay and dropout learn in one batched step where the
    network allows it (feed-forward ones do). `budget_s` ends the search after so many seconds;
    with folds a fifth of them is the winner's, to learn once more.
    """

    search_method: str = "random"
    max_trials: int = 50
    metric: str = "loss"
    maximize_metric: bool | None = None
    early_stopping_patience: int = 5
    min_epochs: int = 10
    max_epochs: int = 100
    hyperparameter_space: HyperparameterSpace = field(default_factory=HyperparameterSpace)
    cv_folds: int = 1
    cv_gap: int = 0
    cost_bps: float = 10.0
    periods_per_year: float = 1.0
    prune: bool = True
    together: int = 32
    budget_s: float | None = None
    seed: int = 42
    device: str | None = None

    def check(self) -> None:
        """Raises `ConfigError` for a value that makes no sense."""
        if self.search_method not in METHODS:
            raise ConfigError(explain_unknown("search_method", self.search_method, METHODS))
        if self.metric not in METRICS:
            raise ConfigError(explain_unknown("metric", self.metric, METRICS))
        if self.maximize_metric is not None and self.maximize_metric is not METRICS[self.metric]:
            better = "more" if METRICS[self.metric] else "less"
            raise ConfigError(f"of {self.metric} {better} is better, but maximize_metric is {self.maximize_metric}.")
        if not 1 <= self.min_epochs <= self.max_epochs:
            raise ConfigError(f"min_epochs is from 1 to max_epochs; got {self.min_epochs} and {self.max_epochs}.")
        if self.together < 1:
            raise ConfigError(f"together is a number of trials, 1 or more; got {self.together}.")
        if self.cv_folds < 1 or self.cv_gap < 0:
            raise ConfigError(f"cv_folds is 1 or more and cv_gap 0 or more; got {self.cv_folds} and {self.cv_gap}.")


@dataclass(frozen=True, eq=False, slots=True)
class BestResult:
    """The best trial of a search and the network that it taught, ready to be exported.

    `val_metric` is `metric` on the validation rows, with `cv_folds` of the network that learned once more, the best of
    `len(trials)` and so a little kind: judge the network again on rows that no trial saw. `trials` has a row each, the
    best first; `notes` say what was done differently from what was asked.
    """

    learning_rate: float
    batch_size: int
    optimizer: OptimizerType
    dropout_rate: float | None
    weight_decay: float
    metric: str
    val_metric: float
    scores: dict[str, float]
    model: ClassicNet = field(repr=False)
    symbol: str | None
    method: str
    trials: pl.DataFrame = field(repr=False)
    seconds: float
    notes: tuple[str, ...]


class AutoTrainer:
    """Searches how a network learns, one symbol after the other; `results` keeps the best of each."""

    def __init__(self, config: AutoTrainerConfig | None = None) -> None:
        self.config = config or AutoTrainerConfig()
        self.results: dict[str | None, BestResult] = {}

    def optimize(
        self,
        model_factory: Callable[..., ClassicNet],
        train_data: Pair,
        val_data: Pair,
        symbol: str | None = None,
        *,
        callbacks: Sequence[Callback] = (),
    ) -> BestResult:
        """The best of the trials, all judged on `val_data`, whose rows come after those of `train_data`.

        `model_factory(dropout_rate=...)` gives a network of `PyTorchModelFactory`; a factory that has no such argument,
        or does not heed it, is searched without it. A network that `create_model` gave for the winner's config and
        that has not learned anything gets the winner's weights, so that it can be exported. Raises `ConfigError`,
        `DataError`, and `FitError` when every trial failed.
        """
        require("torch", extra="nets", purpose="AutoTrainer")
        from tidewright.training.fit_arrays import read_labelled
        from tidewright.workflows.factory import hand_over
        from tidewright.workflows.trainer_desk import open_desk

        self.config.check()
        rows = read_labelled(train_data, name="train_data"), read_labelled(val_data, name="val_data")
        desk = open_desk(self.config, model_factory, rows, callbacks=tuple(callbacks), symbol=symbol)
        result = desk.conclude(desk.search())
        hand_over(result.model)
        self.results[symbol] = result
        return result
