"""`Task`: what is asked of a model, and nothing of how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError

DEFAULT_QUANTILES = (0.1, 0.5, 0.9)
Label = str | int | bool  # the name of a class


class TaskKind(StrEnum):
    """What kind of answer is asked for: quantiles of a number, or the probability of each class."""

    FORECAST = "forecast"
    CLASSIFY = "classify"


@dataclass(frozen=True, slots=True)
class Task:
    """A horizon of H steps, and what is said of each: the quantile levels (Q), ascending, with the median among them,
    which is the point forecast; or, of the kind "classify", the probability of each class (K).

    `classes` are written by `fit`, from the target's own: the names of an answer's columns, in their order.

    >>> Task(horizon=8).quantiles
    (0.1, 0.5, 0.9)
    >>> Task(horizon=8, kind="classify").quantiles
    ()
    """

    horizon: int
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES
    kind: TaskKind = TaskKind.FORECAST
    classes: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.horizon, bool) or not isinstance(self.horizon, int) or self.horizon < 1:
            raise ConfigError(f"the horizon is the number of steps ahead, 1 or more; got {self.horizon!r}.")
        if self.kind not in tuple(TaskKind):
            raise ConfigError(explain_unknown("kind of task", str(self.kind), tuple(TaskKind)))
        object.__setattr__(self, "kind", TaskKind(self.kind))
        if self.kind is TaskKind.CLASSIFY:
            self._check_classes()
        else:
            self._check_quantiles()

    @property
    def classifies(self) -> bool:
        """Whether the answer is the probability of each class."""
        return self.kind is TaskKind.CLASSIFY

    @property
    def width(self) -> int:
        """How many numbers are said of each step: Q, or K (0 before `fit` has written the classes)."""
        return len(self.classes) if self.classifies else len(self.quantiles)

    @property
    def median(self) -> int:
        """The place of the median among the quantiles."""
        return self.quantiles.index(0.5)

    def _check_quantiles(self) -> None:
        levels = self.quantiles
        if self.classes:
            raise ConfigError('classes belong to a task of the kind classify. Ask for kind="classify".')
        if not all(0.0 < level < 1.0 for level in levels) or list(levels) != sorted(set(levels)):
            raise ConfigError(f"quantiles are distinct levels between 0 and 1, ascending; got {levels}.")
        if 0.5 not in levels:
            raise ConfigError(f"quantiles must hold 0.5, the point forecast; got {levels}.")

    def _check_classes(self) -> None:
        if self.quantiles is not DEFAULT_QUANTILES and self.quantiles:
            raise ConfigError(
                f"classes have probabilities and no quantiles; got {self.quantiles}. Leave the quantiles out, or ask "
                'for kind="forecast" of a target of numbers.'
            )
        object.__setattr__(self, "quantiles", ())
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ConfigError(f"classes are two or more different names; got {self.classes}.")


def refuse_classes(task: Task, what: str) -> None:
    """Raises `ConfigError` where something of numbers is asked of a task of classes.

    >>> refuse_classes(Task(2, kind="classify"), "an ensemble")
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: an ensemble is of forecasts of numbers, and this task is of classes. Leave it out.
    """
    if task.classifies:
        raise ConfigError(f"{what} is of forecasts of numbers, and this task is of classes. Leave it out.")
