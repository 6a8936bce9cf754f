"""How every step is answered: a model is told the step, there is one a step, one is fed itself, or one says all.

C cells, H horizon, Q quantiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.features.windows import Cuts
from tidewright.models.abreast import Abreast
from tidewright.models.by_step import ByStep
from tidewright.models.forest import Forest, add_forests
from tidewright.models.formula import Formula
from tidewright.models.rollout import roll_out
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import TreeInputs, window_units
from tidewright.training.cells import Cells, Goal, Learned, Learning, load_learner, make_cells, make_rows, set_goals
from tidewright.training.fewer_rows import name_memory_error
from tidewright.training.monotone import place_monotone
from tidewright.training.quantile_steps import are_held, start_flat

JUDGED = 20_000  # validation cells that early stopping looks at, and residuals are taken from
FEWEST = 30  # cells of a step that its own residual quantiles need; with fewer those of all steps are taken

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Lesson:
    """What is learned from: the windows of training and of validation, and which features there are."""

    spec: Tabular
    task: Task
    panel: Panel
    view: View
    inputs: TreeInputs
    training: Cuts
    judging: Cuts
    seed: int
    start: Formula | None = None  # what is learned already, to which the learner adds

    def teach(self, learning: Learning, *, step: int | None = None) -> Learned:
        """What the spec's learner makes of the cells of a step (default: of all)."""
        learn = self.cells(self.training, most=self.spec.most_rows, step=step)
        monotone = place_monotone(self.spec, self.inputs, panel=self.panel, view=self.view)
        judge = self.cells(self.judging, most=JUDGED, step=step)
        goals = set_goals(self.spec, self.task)
        if self.task.classifies:
            self._check_labels(learn)
        learn = replace(learn, monotone=monotone)
        start = self.start.formulas[(step or 1) - 1] if isinstance(self.start, ByStep) else self.start
        if start is None and are_held(learn, goals):
            start = start_flat(learn, goals)
        return self.add(start, learn=learn, judge=judge, goals=goals, learning=learning)

    def _check_labels(self, learn: Cells) -> None:
        """Raises `FitError` where the cells to learn from lack a class, which would be told from nothing."""
        absent = np.setdiff1d(np.arange(len(self.task.classes)), learn.labels)
        if absent.size:
            raise FitError(
                f"{self.spec.name}: none of the {len(learn.labels)} cells that it learns from has the class "
                f"{self.task.classes[int(absent[0])]!r}. Raise most_rows, or put the class together with another."
            )

    def add(
        self, start: Formula | None, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
    ) -> Learned:
        """What the spec's learner adds to a forest; all that it learns, where there is none."""
        learner = load_learner(self.spec.name)
        if not isinstance(start, Forest):
            with name_memory_error(self.spec.name):
                return learner(self.spec, learn=learn, judge=judge, goals=goals, learning=learning)
        learn, judge = (replace(one, base=start.predict(one.features, width=len(goals))) for one in (learn, judge))
        with name_memory_error(self.spec.name):
            found = learner(self.spec, learn=learn, judge=judge, goals=goals, learning=learning)
        assert isinstance(found.formula, Forest)
        return replace(found, formula=add_forests(start, found.formula))

    def cells(self, windows: Cuts, *, most: int, step: int | None = None) -> Cells:
        """See `make_cells`."""
        given: dict[str, Any] = {"panel": self.panel, "windows": windows, "seed": self.seed}
        return make_cells(self.spec, self.inputs, **given, most=most, step=step)


Answer = tuple[Learned, Doubles | None]  # what was learned, and the offsets [H, Q] of a point


def learn_with_step(lesson: Lesson, learning: Learning) -> Answer:
    """One formula, to which the step is a feature."""
    return _with_offsets(lesson, lesson.teach(learning))


def learn_direct(lesson: Lesson, learning: Learning) -> Answer:
    """A formula a step; each gets an equal share of the time that is left."""
    formulas: list[Formula] = []
    history: list[Mapping[str, Any]] = []
    horizon = lesson.task.horizon
    for step in range(1, horizon + 1):
        deadline = learning.deadline
        if deadline is not None:
            deadline = time.monotonic() + (deadline - time.monotonic()) / (horizon - step + 1)
        found = lesson.teach(replace(learning, deadline=deadline), step=step)
        formulas.append(found.formula)
        history += [{"step": step, **record} for record in found.history]
    place = lesson.inputs.names.index("step")
    return _with_offsets(lesson, Learned(ByStep(tuple(formulas), place), tuple(history)))


def learn_recursive(lesson: Lesson, learning: Learning) -> Answer:
    """A formula of the first step's point, and how far it goes astray when it is rolled out on validation windows.

    Raises `ConfigError` for past covariates.
    """
    if lesson.inputs.past:
        raise ConfigError(
            f"{lesson.spec.name}: a recursive model takes no past covariates, for it has none after the cutoff; got "
            f"{', '.join(lesson.panel.roles.past)}. Leave them out, or ask for the strategy step or direct."
        )
    learned = lesson.teach(learning, step=1)
    horizon, judging = lesson.task.horizon, lesson.judging
    count = min(len(judging), max(1, JUDGED // horizon))
    windows = judging.subset(np.linspace(0, len(judging) - 1, count).astype(np.int64))
    points = roll_out(lesson.inputs, learned.formula, windows)
    errors = (windows.labels() - points) / window_units(windows, lesson.spec.unit)[1][:, None]
    steps = np.broadcast_to(np.arange(1, horizon + 1), errors.shape)
    seen = ~np.isnan(errors)
    return learned, measure_offsets(errors[seen], steps[seen], task=lesson.task)


def learn_multi(lesson: Lesson, learning: Learning) -> Answer:
    """One formula with an output a step."""
    spec, inputs, horizon = lesson.spec, lesson.inputs, lesson.task.horizon
    given: dict[str, Any] = {"panel": lesson.panel, "seed": lesson.seed}
    learn = make_rows(spec, inputs, windows=lesson.training, most=spec.most_rows, **given)
    judge = make_rows(spec, inputs, windows=lesson.judging, most=max(1, JUDGED // horizon), **given)
    (goal,) = set_goals(spec, lesson.task)
    goals = tuple(replace(goal, step=step) for step in range(1, horizon + 1))
    found = load_learner(spec.name)(spec, learn=learn, judge=judge, goals=goals, learning=learning)
    errors = judge.labels - found.formula.predict(judge.features, width=horizon)
    steps = np.tile(np.arange(1, horizon + 1), len(errors))
    learned = replace(found, formula=Abreast(found.formula, inputs.shared, horizon))
    return learned, measure_offsets(errors.reshape(-1), steps, task=lesson.task)


STRATEGIES: dict[str, Callable[[Lesson, Learning], Answer]] = {
    "step": learn_with_step,
    "direct": learn_direct,
    "recursive": learn_recursive,
    "multi": learn_multi,
}


def measure_offsets(errors: Doubles, steps: Ints, *, task: Task) -> Doubles:
    """Residual quantiles [H, Q] of errors [C] at steps [C], which count from 1; the median is held at 0.

    Those of a step's own cells where it has 30, else of all cells. Cells weigh alike.
    """
    levels = np.array(task.quantiles)
    spread = np.tile(np.quantile(errors, levels), (task.horizon, 1))
    for step in range(task.horizon):
        own = errors[steps == step + 1]
        if len(own) >= FEWEST:
            spread[step] = np.quantile(own, levels)
    below, above = levels < 0.5, levels > 0.5
    return np.where(below, np.minimum(spread, 0.0), np.where(above, np.maximum(spread, 0.0), 0.0))


def _with_offsets(lesson: Lesson, learned: Learned) -> Answer:
    if not lesson.spec.points or lesson.task.classifies:
        return learned, None
    judge = lesson.cells(lesson.judging, most=JUDGED)
    errors = judge.labels - learned.formula.predict(judge.features, width=1)[:, 0]
    return learned, measure_offsets(errors, judge.steps, task=lesson.task)
