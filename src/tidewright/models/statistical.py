"""`Statistical`: a statistical model that is fitted anew on the history of every window that it answers.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.errors import FallbackWarning, FitError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.floors import chunks, window_scale
from tidewright.models.specs.statistical import ADIDA, IMAPA, TSB, Croston, StatisticalSpec


@dataclass(frozen=True, eq=False)
class Statistical:
    """A model with its choices made. Quantiles are its own intervals; models of intermittent demand have none, and
    take their residual quantiles in training, `spread` [H, Q], in units of the window's scale at the lag `season`
    (zeros otherwise), never below 0 where the window is not.

    A window on which it fails is answered by the last observed value with a random walk's intervals, and a
    `FallbackWarning` says so; `strict` makes that a `FitError`.
    """

    spec: StatisticalSpec
    task: Task
    view: View
    season: int
    spread: Doubles
    strict: bool = False
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`. NaN where a window holds no observed value."""
        quantiles, failed = self.answer(windows)
        if failed:
            text = self._explain(failed, windows)
            if self.strict:
                raise FitError(f"{text} Leave strict out to have the last value answer, or take another model.")
            warnings.warn(text, FallbackWarning, stacklevel=2)
        return quantiles

    def answer(self, windows: Windows) -> tuple[Doubles, dict[int, str]]:
        """The quantiles [N, H, Q], and why a window was answered by the last value instead, by its number."""
        out = np.empty((len(windows), self.task.horizon, len(self.task.quantiles)))
        failed: dict[int, str] = {}
        for rows in chunks(len(windows), self.view.lookback):
            past = windows.history(rows)
            out[rows], missed = self._answer(past)
            for number, reason in missed.items():
                out[rows.start + number] = self._stand_in(past[number])
                failed[rows.start + number] = reason
        return out, failed

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`."""
        return {"spread": self.spread}

    def _answer(self, past: Doubles) -> tuple[Doubles, dict[int, str]]:
        if isinstance(self.spec, Croston | TSB | ADIDA | IMAPA):
            return answer_intermittent(self, past), {}
        from tidewright.models.window_fits import fit_windows

        return fit_windows(past, self.spec, horizon=self.task.horizon, quantiles=self.task.quantiles)

    def _stand_in(self, row: Doubles) -> Doubles:
        from tidewright.models.window_fits import naive_quantiles

        return naive_quantiles(row, horizon=self.task.horizon, quantiles=self.task.quantiles)

    def _explain(self, failed: Mapping[int, str], windows: Windows) -> str:
        first = min(failed)
        return (
            f"{self.spec.name} failed on {len(failed)} of {len(windows)} windows, which the last value answers; the "
            f"first is that of series {int(windows.series[first])} (counted from 0) at position "
            f"{int(windows.cutoffs[first])}: {failed[first]}."
        )


def answer_intermittent(model: Statistical, past: Doubles) -> Doubles:
    """Quantiles [N, H, Q] from histories [N, L] of a model of intermittent demand."""
    from tidewright.models.intermittent import forecast_intermittent

    assert isinstance(model.spec, Croston | TSB | ADIDA | IMAPA)
    point = forecast_intermittent(past, model.spec)
    answer = point[:, None, None] + window_scale(past, model.season)[:, None, None] * model.spread
    counts = ~(past < 0).any(axis=1)  # demand: nothing below 0 was seen
    answer[counts] = np.maximum(answer[counts], 0.0)  # NaN stays
    return np.asarray(answer)
