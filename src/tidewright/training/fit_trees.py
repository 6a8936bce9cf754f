"""Models of cells learned: what they see is planned, cells are made, and a library's learner does the rest.

C cells, H horizon, Q quantiles. Losses are in the units of the spec.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.checks import check_whole
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View, drifting_columns
from tidewright.features.windows import Windows, find_windows
from tidewright.models.spec import spec_key
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import Relative, plan_inputs
from tidewright.models.trees import TreesFitted, settle_spec
from tidewright.runtime import Runtime
from tidewright.training.cells import Learning
from tidewright.training.events import Callback, EpochEnded, emit
from tidewright.training.fewer_rows import learn_in_memory
from tidewright.training.spec import TrainSpec
from tidewright.training.strategies import STRATEGIES, Lesson


def fit_trees(
    spec: Tabular,
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
    runtime: Runtime | None = None,
    start: TreesFitted | None = None,
) -> TreesFitted:
    """The model, learned on the training windows, each quantile stopped early on the validation windows.

    Of `train` only `seed` and `least_gain` matter: the share by which 25 rounds must better a quantile's
    validation loss for it to go on. `season` is the seasonal lag (default: the frequency's). The round during
    which the `time.monotonic()` of `deadline` passes is the last one, and the history says so. The same seed
    gives the same model. Where memory ends it learns from fewer rows, which the history and a `FallbackWarning` say.
    `runtime` says whether a GPU was asked for; see boost_device. With `start`, a fitted lightgbm, it sees what that one
    sees, and trees are added to its own.
    """
    check_whole(f"{spec.name}: threads", threads)
    train = train or TrainSpec()
    season = panel.frequency.season if season is None else season
    least = min(view.lookback, max(2, season))
    cuts = find_windows(panel, view, horizon=task.horizon, cutoffs=split.train, least=least)
    judged = find_windows(panel, view, horizon=task.horizon, cutoffs=split.validation, least=1)
    flat = cuts.flat
    relative = _relative(flat, view, rows=panel.positions <= split.train.last)
    seen: dict[str, Any] = {"relative": relative, "static": view.static, "align": _place_align(spec, panel)}
    inputs = start.inputs if start else plan_inputs(spec, flat, season=season, classes=len(task.classes), **seen)
    known = start.formula if start else None
    lesson = Lesson(spec, task, panel, view, inputs, training=cuts, judging=judged, seed=train.seed, start=known)
    tell = _Teller(spec.name, spec_key(spec, train, view), tuple(callbacks))
    learning = Learning(train.seed, threads, train.least_gain, deadline=deadline, tell=tell.tell, runtime=runtime)
    (learned, offsets), told = learn_in_memory(
        lambda rows: STRATEGIES[spec.strategy](replace(lesson, spec=replace(spec, most_rows=rows)), learning),
        rows=min(spec.most_rows, len(cuts) * task.horizon),
        model=spec.name,
        strict=runtime is not None and runtime.strict,
    )
    return TreesFitted(
        spec=settle_spec(spec, inputs), task=task, view=view, inputs=inputs, formula=learned.formula, offsets=offsets,
        history=(*told, *learned.history),
    )  # fmt: skip


def _relative(windows: Windows, view: View, *, rows: npt.NDArray[np.bool_]) -> Relative:
    """The places of the past and the known covariates to be seen in units of the window, from the training rows."""
    if not view.relative:
        return (), ()
    past = drifting_columns(windows.past[rows])
    known = drifting_columns(windows.known[rows], keep=view.waves)
    return tuple(np.flatnonzero(past).tolist()), tuple(np.flatnonzero(known).tolist())


def _place_align(spec: Tabular, panel: Panel) -> int | None:
    """The place of the column that the spec is aligned by among the known covariates."""
    if not spec.align:
        return None
    if spec.align not in panel.roles.known:
        raise ConfigError(explain_unknown(f"known column for {spec.name}.align", spec.align, panel.roles.known))
    return panel.roles.known.index(spec.align)


@dataclass(frozen=True, slots=True)
class _Teller:
    model: str
    key: str
    callbacks: tuple[Callback, ...]
    started: float = field(default_factory=time.monotonic)

    def tell(self, number: int, learned: float, judged: float) -> Mapping[str, Any]:
        """The losses after so many rounds: told to the callbacks, and given back for the history."""
        seconds = time.monotonic() - self.started
        emit(self.callbacks, EpochEnded(self.model, self.key, number, learned, judged, seconds))
        return {"round": number, "train_loss": learned, "validation_loss": judged}
