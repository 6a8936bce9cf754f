"""What a task of classes needs of a panel, checked before anything is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.features.view import View
from tidewright.models.spec import ModelSpec, Ridge, kind_of
from tidewright.models.specs.tabular import CLASSIFIERS, Tabular, check_classifier

FEWEST = 2  # training labels that a class needs


def settle_classes(spec: ModelSpec, task: Task, *, panel: Panel, split: Split, view: View | None) -> Task:
    """The task with the target's classes, those of the whole panel; a task of numbers as it is.

    Raises `ConfigError` for a model or a view that has no say with classes, or a task of the other kind than the
    target, and `DataError` where training does not hold each class at least twice.
    """
    if not task.classifies:
        if panel.classes or kind_of(spec) == "class_floor":
            what = (
                f"'{panel.roles.target}' holds classes ({_list(panel)})"
                if panel.classes
                else f"{spec.name} is a floor of classes"
            )
            raise ConfigError(f'{what}, and this task forecasts a number. Ask for Task(horizon, kind="classify").')
        return task
    if not panel.classes:
        raise ConfigError(
            f"'{panel.roles.target}' was read as a number, and this task is of classes. Read the table with "
            'classes=True, or ask for kind="forecast".'
        )
    _check_spec(spec)
    if view is not None and view.log is not None:
        raise ConfigError("view.log is of numbers, and the target holds classes. Leave it out.")
    if task.classes and task.classes != panel.classes:
        raise ConfigError(f"the task's classes are {task.classes}, and the target's {panel.classes}. Leave them out.")
    if len(panel.classes) < 2:
        raise DataError(
            f"'{panel.roles.target}' holds one class, {panel.classes[0]!r}, so there is nothing to tell apart. Bring "
            "rows of another."
        )
    if kind_of(spec) != "class_floor":  # whose shares are never 0
        _check_training(panel, split)
    return replace(task, classes=panel.classes)


def _check_spec(spec: ModelSpec) -> None:
    if isinstance(spec, Tabular):
        check_classifier(spec)
    elif isinstance(spec, Ridge):
        if spec.scalings != Ridge().scalings:
            raise ConfigError(
                f"ridge.scalings counts the target as a number, and it holds classes; got {spec.scalings!r}. Leave it "
                "out."
            )
    elif kind_of(spec) != "class_floor":
        raise ConfigError(f"{spec.name} tells no classes apart. Take {', '.join(CLASSIFIERS)}, or a floor of classes.")


def _check_training(panel: Panel, split: Split) -> None:
    """Each class is among the labels of training, twice at least."""
    part = (panel.positions > split.train.first) & (panel.positions <= split.train.last + split.horizon)
    labels = panel.target[part & ~np.isnan(panel.target)].astype(np.int64)
    for place, count in enumerate(np.bincount(labels, minlength=len(panel.classes))):
        if count < FEWEST:
            rows = np.flatnonzero(panel.target == place)  # none where a search, or a study of one series, left them out
            first = f" (first in {panel.place(int(rows[0]))})" if rows.size else ""
            times = "once" if count else "never"
            raise DataError(
                f"the class {panel.classes[place]!r} comes {times} among the labels of training{first}, "
                f"and {FEWEST} times is the least. Put it together with another, leave its rows empty, or split later."
            )


def _list(panel: Panel) -> str:
    return ", ".join(map(str, panel.classes[:5])) + (" ..." if len(panel.classes) > 5 else "")
