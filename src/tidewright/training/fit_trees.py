"""LightGBM learned: one booster a quantile over cells (a window and a step), all of them a round at a time.

Quantiles are boosted side by side, each on its own thread: that takes two thirds of the CPU time of
LightGBM's own threads, which wait for each other at every split.

C cells, F features, N windows, H horizon. Losses are quantile losses in the windows' units.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View, drifting_columns
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.forest import read_forest
from tidewright.models.spec import LightGBM, spec_key
from tidewright.models.tree_inputs import (
    Relative,
    TreeInputs,
    plan_inputs,
    step_features,
    window_features,
    window_units,
)
from tidewright.models.trees import TreesFitted, settle_spec
from tidewright.optional import require
from tidewright.training.events import Callback, EpochEnded, emit
from tidewright.training.spec import TrainSpec

JUDGED = 20_000  # validation cells that early stopping looks at
PATIENCE = 25  # rounds without a better validation loss that end a quantile's boosting
BINS = 63  # values that a feature is cut into: as good as the usual 255 here, and a sixth faster
EVERY = 10  # rounds between two events
FARTHEST = 1e6  # labels farther from the window's mean than this many scales count as this far


def fit_trees(
    spec: LightGBM,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    view: View,
    train: TrainSpec | None = None,
    season: int | None = None,
    threads: int = 2,
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
) -> TreesFitted:
    """The trees, learned on the training windows, each quantile stopped early on the validation windows.

    Of `train` only `seed` and `least_gain` matter: the share by which 25 rounds must better a quantile's
    validation loss for it to go on. `season` is the seasonal lag (default: the frequency's). The round during
    which the `time.monotonic()` of `deadline` passes is the last one, and the history says so. The same seed
    gives the same trees.
    """
    _check(spec, threads)
    train = train or TrainSpec()
    season = panel.frequency.season if season is None else season
    least = min(view.lookback, max(2, season))
    windows = cut_windows(panel, view, horizon=task.horizon, cutoffs=split.train, least=least)
    judged = cut_windows(panel, view, horizon=task.horizon, cutoffs=split.validation, least=1)
    relative = _relative(windows, view, rows=panel.positions <= split.train.last)
    inputs = plan_inputs(spec, windows, season=season, relative=relative)
    learn = _make_cells(inputs, windows, most=spec.most_rows, seed=train.seed)
    judge = _make_cells(inputs, judged, most=JUDGED, seed=train.seed)
    options = _options(spec, seed=train.seed, threads=max(1, threads // len(task.quantiles)))
    courses = _start(options, task, learn=learn, judge=judge, least_gain=train.least_gain)
    tell = _Teller(spec.name, spec_key(spec, train, view), tuple(callbacks))
    with ThreadPoolExecutor(min(threads, len(courses)), initializer=_silence, initargs=(options,)) as pool:
        history = _boost(courses, pool, rounds=spec.rounds, teller=tell, deadline=deadline)
    texts = [course.booster.model_to_string(num_iteration=course.best_round) for course in courses]
    return TreesFitted(
        spec=settle_spec(spec, inputs),
        task=task,
        view=view,
        inputs=inputs,
        forest=read_forest(texts),
        history=tuple(history),
    )


def _relative(windows: Windows, view: View, *, rows: npt.NDArray[np.bool_]) -> Relative:
    """The places of the past and the known covariates to be seen in units of the window, from the training rows."""
    if not view.relative:
        return (), ()
    past = drifting_columns(windows.past[rows])
    known = drifting_columns(windows.known[rows], keep=view.waves)
    return tuple(np.flatnonzero(past).tolist()), tuple(np.flatnonzero(known).tolist())


@dataclass(frozen=True, eq=False, slots=True)
class _Cells:
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


@dataclass(eq=False, slots=True)
class _Course:
    """One quantile's boosting as it goes."""

    booster: Any
    quantile: float
    least_gain: float
    losses: list[float] = field(default_factory=list)
    best_round: int = 0
    best_loss: float = float("inf")
    reason: str = ""

    def step(self) -> None:
        """One more round."""
        stuck = self.booster.update()
        loss = float(self.booster.eval_valid()[0][2])
        self.losses.append(loss)
        if not self.best_round or loss < self.best_loss * (1.0 - self.least_gain):
            self.best_round, self.best_loss = len(self.losses), loss
        if stuck:
            self.reason = "no split left"
        elif len(self.losses) - self.best_round >= PATIENCE:
            self.reason = "no better on validation"


@dataclass(frozen=True, slots=True)
class _Teller:
    model: str
    key: str
    callbacks: tuple[Callback, ...]
    started: float = field(default_factory=time.monotonic)

    def tell(self, number: int, courses: Sequence[_Course]) -> Mapping[str, Any]:
        """The state after so many rounds: told to the callbacks, and given back for the history."""
        learned = float(np.mean([course.booster.eval_train()[0][2] for course in courses]))
        judged = float(np.mean([course.losses[-1] for course in courses]))
        seconds = time.monotonic() - self.started
        emit(self.callbacks, EpochEnded(self.model, self.key, number, learned, judged, seconds))
        return {"round": number, "train_loss": learned, "validation_loss": judged}


def _check(spec: LightGBM, threads: int) -> None:
    least = {"rounds": 1, "leaves": 2, "min_leaf": 1, "most_rows": 1}
    given: dict[str, Any] = {**asdict(spec), "threads": threads}
    for name, low in {**least, "threads": 1}.items():
        if isinstance(given[name], bool) or not isinstance(given[name], int) or given[name] < low:
            raise ConfigError(f"lightgbm: {name} is a whole number, {low} or more; got {given[name]!r}.")
    for name in ("feature_share", "row_share", "learning_rate"):
        if not 0.0 < given[name] <= 1.0:
            raise ConfigError(f"lightgbm: {name} lies above 0 and is at most 1; got {given[name]!r}.")


def _make_cells(inputs: TreeInputs, windows: Windows, *, most: int, seed: int) -> _Cells:
    """Features and labels of at most `most` labelled cells, spread evenly over windows and steps."""
    place = _spread(len(windows) * windows.horizon, most, seed)
    steps = place % windows.horizon + 1
    labels = _labels(windows, place // windows.horizon, steps)
    seen = ~np.isnan(labels)
    if not seen.any():
        raise FitError(
            f"lightgbm: none of {len(place)} sampled cells has a label. Raise most_rows, or bring fewer gaps."
        )
    used, index = np.unique(place[seen] // windows.horizon, return_inverse=True)
    chosen = windows.subset(used)
    units = window_units(chosen)
    shared = window_features(inputs, chosen, units)[index]
    own = step_features(inputs, chosen, units, index=index, steps=steps[seen])
    answer = (labels[seen] - units[0][index]) / units[1][index]
    return _Cells(np.hstack([shared, own]), np.clip(answer, -FARTHEST, FARTHEST).astype(np.float32))


def _spread(total: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `most` of `total` places, ascending: one at random from each of as many equal stretches."""
    if total <= most:
        return np.arange(total)
    shift = np.random.default_rng(seed).random(most)
    return np.asarray(np.minimum((np.arange(most) + shift) * (total / most), total - 1), dtype=np.int64)


def _labels(windows: Windows, index: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    rows = windows.rows[index] + steps
    inside = rows < windows.offsets[windows.series[index] + 1]
    return np.where(inside, windows.y[np.where(inside, rows, 0)], np.nan)


def _start(options: Mapping[str, Any], task: Task, *, learn: _Cells, judge: _Cells, least_gain: float) -> list[_Course]:
    """A booster for each quantile, all over one binned data set."""
    lightgbm = require("lightgbm", extra="trees", purpose="the model lightgbm")
    data = lightgbm.Dataset(learn.features, learn.labels, params=dict(options), free_raw_data=False)
    check = data.create_valid(judge.features, judge.labels, params=dict(options))
    courses = []
    for quantile in task.quantiles:
        booster = lightgbm.Booster({**options, "alpha": quantile}, data)
        booster.add_valid(check, "validation")
        courses.append(_Course(booster, quantile, least_gain))
    return courses


def _silence(options: Mapping[str, Any]) -> None:
    """LightGBM keeps its log level by thread, and takes it from the first thing that a thread makes."""
    lightgbm = require("lightgbm", extra="trees", purpose="the model lightgbm")
    lightgbm.Dataset(np.zeros((2, 1), dtype=np.float32), params=dict(options)).construct()


def _options(spec: LightGBM, *, seed: int, threads: int) -> dict[str, Any]:
    return {
        "objective": "quantile",
        "metric": "quantile",
        "learning_rate": spec.learning_rate,
        "num_leaves": spec.leaves,
        "min_data_in_leaf": spec.min_leaf,
        "feature_fraction": spec.feature_share,
        "bagging_fraction": spec.row_share,
        "bagging_freq": 1,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "max_bin": BINS,
        "verbosity": -1,
    }


def _boost(
    courses: Sequence[_Course], pool: Executor, *, rounds: int, teller: _Teller, deadline: float | None
) -> list[Mapping[str, Any]]:
    """Boosts every quantile a round at a time, so that a deadline leaves them alike; the history of it."""
    history: list[Mapping[str, Any]] = []
    for number in range(1, rounds + 1):
        list(pool.map(_Course.step, [course for course in courses if not course.reason]))
        late = deadline is not None and time.monotonic() > deadline
        over = late or all(course.reason for course in courses) or number == rounds
        if over or number % EVERY == 0:
            history.append(teller.tell(number, courses))
        if over:
            break
    for course in courses:
        reason = course.reason or ("deadline" if late else "all rounds")
        history.append(
            {
                "quantile": course.quantile,
                "rounds": course.best_round,
                "validation_loss": course.best_loss,
                "stopped": reason,
            }
        )
    return history
