"""`fit_positions`: a network that learns what to hold, by the Sharpe ratio of what that earns after costs.

N windows, D dates (cutoffs), S series.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, DataError
from tidewright.features.view import View, keep_schema
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.models.spec import ModelSpec, kind_of, spec_key
from tidewright.models.torch.fitted import ask_network, check_windows, network_from_tensors
from tidewright.models.torch.heads import head_of
from tidewright.models.torch.network import ForecastNet
from tidewright.models.torch.shape import Shape
from tidewright.portfolio import Costs, Targets
from tidewright.portfolio.positions import Earnings, earn_positions
from tidewright.portfolio.rules import Sides
from tidewright.runtime import Runtime
from tidewright.training.events import Callback, FitEnded, FitStarted, emit
from tidewright.training.fit import check_covariates, usual_view
from tidewright.training.fit_torch import Lesson, learn_lesson, training_windows
from tidewright.training.runs import earned_returns, open_runs
from tidewright.training.spec import TrainSpec
from tidewright.training.trade import SETTLED, check_returns

HEADS: Mapping[Sides, str] = {"both": "position", "long": "long position"}
TASK = Task(1, (0.5,))  # one decision a window


@dataclass(frozen=True, eq=False)
class PositionFitted:
    """A network that has learned positions. It forecasts nothing, so it has no `predict` and no quantiles.

    `history` has one record an epoch, whose losses are minus Sharpe ratios per period. Nothing ever changes it: any
    thread may ask.
    """

    spec: ModelSpec
    view: View
    sides: Sides
    network: ForecastNet
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)

    def decide(self, windows: Windows) -> Doubles:
        """The positions [N] of windows of horizon 1: from -1 to 1, from 0 with sides "long". Raises `DataError`."""
        check_windows(windows, self.network.shape, spec=self.spec, task=TASK)
        return ask_network(self.network, windows)[:, 0, 0]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the network's parameters and buffers, by name."""
        return {name: tensor.numpy().copy() for name, tensor in self.network.state_dict().items()}


def fit_positions(
    spec: ModelSpec,
    *,
    panel: Panel,
    split: Split,
    view: View | None = None,
    train: TrainSpec | None = None,
    sides: Sides = "both",
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
    checkpoint: Path | None = None,
    runtime: Runtime | None = None,
) -> PositionFitted:
    """The network whose positions had the best Sharpe ratio over the whole validation part, after costs.

    The target is simple returns, one series an asset. A position is decided after the close of its cutoff, filled at
    the next one and held for one step, so it earns the return of the second step; the split is one of
    `Task(horizon=2)` or longer. A batch is a run of consecutive cutoffs over all series, and two runs of an epoch share
    no step that either earns. `train` has the loss "sharpe" (default: `TrainSpec(loss="sharpe")`); the other arguments
    are those of `fit`. Raises `ConfigError`, `DataError` (prices instead of returns), `FitError`, `ShortSeriesError`.
    """
    train = train or TrainSpec(loss="sharpe")
    view = view or usual_view(panel, split=split, task=TASK, takes=spec.takes)
    _check_request(spec, split=split, train=train, sides=sides)
    check_covariates(spec, panel, view)
    if view.log is not None:
        raise ConfigError("positions are learned from returns, which have no logarithm. Leave the view's log out.")
    view = keep_schema(view, panel, takes=spec.takes)
    tell, key = tuple(callbacks), spec_key(spec, train, view)
    emit(tell, FitStarted(spec.name, key, asdict(spec), train.epochs))  # type: ignore[call-overload]
    started, cpu = time.monotonic(), time.process_time()
    lesson = _prepare(panel, split, view=view, train=train)
    network, history = learn_lesson(
        spec, lesson, task=TASK, view=view, train=train, head=HEADS[sides],
        callbacks=tell, deadline=deadline, checkpoint=checkpoint, runtime=runtime,
    )  # fmt: skip
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    emit(tell, FitEnded(spec.name, key, seconds, cpu_seconds, str(history[-1]["stopped"])))
    return PositionFitted(spec, view, sides, network, history)


def positions_from_tensors(
    spec: ModelSpec, *, view: View, shape: Shape, tensors: Mapping[str, npt.NDArray[Any]]
) -> PositionFitted:
    """The positions whose `tensors()` these are, learned at that shape. Raises `BundleError`."""
    if head_of(tensors)[0] != "position":
        raise BundleError("these are the weights of a forecast and no positions. Use from_tensors.")
    network = network_from_tensors(spec, view=view, shape=shape, tensors=tensors)
    sides: Sides = "long" if float(tensors["head.low"]) == 0.0 else "both"
    return PositionFitted(spec, view, sides, network)


def weigh_positions(fitted: PositionFitted, *, panel: Panel, cutoffs: Cutoffs) -> Targets:
    """Target weights [D, S] for `backtest_weights` with `allow_cash=True`: an equal part for each series with a window
    at its cutoff, times its position. The ledger is long-only: it refuses the weights below 0 of sides "both"."""
    positions, windows = _decide(fitted, panel=panel, cutoffs=cutoffs)
    there = np.isfinite(positions).sum(axis=1, keepdims=True)
    values = np.where(np.isfinite(positions), positions, 0.0) / there
    times = panel.frequency.times(np.unique(windows.cutoffs)).astype("datetime64[us]")
    names = tuple(str(name) for name in panel.series_ids)
    return Targets(times, names, values, (True,) * len(times), f"{fitted.spec.name}+sharpe")


def earn_fitted(fitted: PositionFitted, *, panel: Panel, cutoffs: Cutoffs, costs: Costs) -> Earnings:
    """What the positions earned, decided at every step from the first cutoff to the last (an account has no stride) and
    each earning two steps later; for `metrics.returns.sharpe` and its like."""
    positions, windows = _decide(fitted, panel=panel, cutoffs=replace(cutoffs, stride=1))
    return earn_positions(positions, _spread(windows, earned_returns(windows)), costs=costs)


def _decide(fitted: PositionFitted, *, panel: Panel, cutoffs: Cutoffs) -> tuple[Doubles, Windows]:
    """The positions [D, S] at all dates of cutoffs that have a window, NaN where a series has none."""
    windows = cut_windows(panel, fitted.view, horizon=1, cutoffs=cutoffs, labelled=False, least=1)
    return _spread(windows, fitted.decide(windows)), windows


def _spread(windows: Windows, values: Doubles) -> Doubles:
    dates, date = np.unique(windows.cutoffs, return_inverse=True)
    spread = np.full((len(dates), len(windows.offsets) - 1), np.nan)
    spread[date, windows.series] = values
    return spread


def _prepare(panel: Panel, split: Split, *, view: View, train: TrainSpec) -> Lesson:
    rows = panel.positions <= split.train.last
    check_returns(panel, until=split.validation.last + SETTLED)
    training = training_windows(panel, view, horizon=1, cutoffs=split.train)
    every = replace(split.validation, stride=1)  # a portfolio has none
    judging = cut_windows(panel, view, horizon=1, cutoffs=every, labelled=False, least=1)
    dates = np.unique(judging.cutoffs)
    judging = judging.subset(np.flatnonzero(judging.cutoffs >= dates[-train.judged :][0]))
    for name, part in (("training", training), ("validation", judging)):
        if len(np.unique(part.cutoffs)) < 2:
            raise DataError(f"the {name} part has one cutoff; a Sharpe ratio needs two. Move the split.")
    return Lesson(training, judging, rows, open_runs)


def _check_request(spec: ModelSpec, *, split: Split, train: TrainSpec, sides: str) -> None:
    if kind_of(spec) != "torch":
        raise ConfigError(f"{spec.name} is no network: it can't learn by the loss sharpe. Choose one, such as lstm.")
    if train.loss != "sharpe":
        raise ConfigError(f'positions are learned by the loss sharpe; got {train.loss}. Give TrainSpec(loss="sharpe").')
    if split.horizon < SETTLED:
        raise ConfigError(
            f"a position earns the second step after its cutoff; the split is for a horizon of {split.horizon}, so its "
            "parts would share that step. Make it with Task(horizon=2)."
        )
    if sides not in HEADS:
        raise ConfigError(f"sides is both or long; got {sides!r}.")
