"""`Task`: what is asked of a model, and nothing of how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tidewright.errors import ConfigError

DEFAULT_QUANTILES = (0.1, 0.5, 0.9)


class TaskKind(StrEnum):
    """What kind of answer is asked for."""

    FORECAST = "forecast"


@dataclass(frozen=True, slots=True)
class Task:
    """A horizon of H steps, and the quantile levels (Q), ascending, with the median among them: it is the
    point forecast.

    >>> Task(horizon=8).quantiles
    (0.1, 0.5, 0.9)
    """

    horizon: int
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES
    kind: TaskKind = TaskKind.FORECAST

    def __post_init__(self) -> None:
        if isinstance(self.horizon, bool) or not isinstance(self.horizon, int) or self.horizon < 1:
            raise ConfigError(f"the horizon is the number of steps ahead, 1 or more; got {self.horizon!r}.")
        levels = self.quantiles
        if not all(0.0 < level < 1.0 for level in levels) or list(levels) != sorted(set(levels)):
            raise ConfigError(f"quantiles are distinct levels between 0 and 1, ascending; got {levels}.")
        if 0.5 not in levels:
            raise ConfigError(f"quantiles must hold 0.5, the point forecast; got {levels}.")

    @property
    def median(self) -> int:
        """The place of the median among the quantiles."""
        return self.quantiles.index(0.5)
