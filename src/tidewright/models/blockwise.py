"""`Blockwise`: a model of some steps that answers another number of them.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec


@dataclass(frozen=True, eq=False, slots=True)
class Blockwise:
    """The model `inner`, which learned some steps at once, answering those of `task`.

    Of more steps than are asked for the first are given. Of fewer it goes on from its own median, block by block. The
    distance of a quantile from the median then grows: its square is the block's own plus that of the last step before
    the block, as if errors of blocks were independent and stayed. Past covariates have no values after the cutoff, so
    a model that sees them can't go on: a `ConfigError`, as are other quantiles than its own.
    """

    inner: Fitted
    task: Task

    def __post_init__(self) -> None:
        if self.task.quantiles != self.inner.task.quantiles:
            raise ConfigError(
                f"{self.spec.name} answers the quantiles {self.inner.task.quantiles}; asked for {self.task.quantiles}."
            )

    @property
    def spec(self) -> ModelSpec:
        """See `Fitted.spec`."""
        return self.inner.spec

    @property
    def view(self) -> View:
        """See `Fitted.view`."""
        return self.inner.view

    @property
    def history(self) -> tuple[Mapping[str, Any], ...]:
        """See `Fitted.history`: the inner model's own."""
        return self.inner.history

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: the inner model's own."""
        return self.inner.tensors()

    def predict(self, windows: Windows) -> Doubles:
        """Quantiles [N, H, Q] on the original scale, ascending along Q."""
        learned, asked = self.inner.task.horizon, self.task.horizon
        if learned >= asked:
            return self.inner.predict(replace(windows, horizon=learned))[:, :asked]
        _refuse_past(windows.past.shape[1], self.spec.name, learned=learned, asked=asked)
        blocks = -(-asked // learned)
        whole = replace(windows, horizon=blocks * learned)
        batch, made = whole.batch(), windows.known.shape[1] - self.view.waves
        batch.known[:, windows.lookback + asked :, :made] = np.nan  # columns of lags hold what comes after the cutoff
        alone = to_windows(batch, horizon=whole.horizon, history=whole.history())
        y, found = alone.y.copy(), []
        spread = np.zeros((len(windows), 1, len(self.task.quantiles)))
        for block in range(blocks):
            now = replace(alone, y=y, rows=alone.rows + block * learned, horizon=learned)
            said = self.inner.predict(now)
            point = said[:, :, self.task.median]
            y[now.rows[:, None] + 1 + np.arange(learned)] = point
            away = said - point[:, :, None]
            away = np.copysign(np.hypot(away, spread), away)
            found.append(point[:, :, None] + away)
            spread = away[:, -1:]
        return np.concatenate(found, axis=1)[:, :asked]


def answer_task(fitted: Fitted, task: Task) -> Fitted:
    """The model itself where it learned the task's horizon, else a `Blockwise` of it."""
    return fitted if fitted.task.horizon == task.horizon else Blockwise(fitted, task)


def _refuse_past(count: int, name: str, *, learned: int, asked: int) -> None:
    if count:
        raise ConfigError(
            f"{name} learned {learned} of {asked} steps, and can't go on from its own forecast: it sees past "
            f"covariates, which have no values after the cutoff. Leave them out, or learn {asked} steps at least."
        )
